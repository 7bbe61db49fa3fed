//! S: all managers examine at the same time (paper, section 3.2).
//!
//! The head of the group broadcasts S every T_im. When it is silent, the next in the group does
//! so one `t_wait` later, and the one after it another. Without any S everyone's own timer starts
//! the round. Between rounds a P1 logs the seconds.

use super::Event;
use super::context::Context;
use super::io::Now;
use super::message::Message;
use crate::cluster::ServerName;

/// How many servers stand in for a silent head.
const STAND_INS: u32 = 3;

/// The clock of the rounds.
#[derive(Debug, Default)]
pub(super) struct Sync {
    last: Now,
    logged: u64,
    /// The last round began by an S that came.
    led: bool,
}

impl Sync {
    /// The first round begins now.
    pub(super) fn begin(&mut self, context: &Context) {
        self.last = context.now;
        self.logged = 0;
    }

    fn due(&self, context: &Context) -> (Now, bool) {
        let timings = context.timings();
        let place = context.group.position(&context.config.me);
        let place = place
            .and_then(|at| u32::try_from(at).ok())
            .filter(|at| *at < STAND_INS);
        let late = timings.t_wait * place.unwrap_or(STAND_INS);
        (self.last + timings.t_im + late, place.is_some())
    }

    /// Whether somebody else leads: S tells when claims are known there that are not known here.
    pub(super) fn is_led(&self) -> bool {
        self.led
    }

    fn next_log(&self) -> Now {
        self.last + std::time::Duration::from_secs(self.logged + 1)
    }

    pub(super) fn deadline(&self, context: &Context) -> Now {
        self.due(context).0.min(self.next_log())
    }

    /// Whether a round begins by our own clock; S goes out if it is ours to send.
    /// `regular`: a P1 here awaits S, so the seconds are logged.
    pub(super) fn tick(&mut self, context: &mut Context, regular: bool) -> bool {
        let (due, mine) = self.due(context);
        if context.now >= due {
            if mine {
                let all: Vec<ServerName> = context.group.names().cloned().collect();
                let (me, known) = (context.me(), context.ledger.digest());
                for to in all.iter().filter(|to| **to != me) {
                    context.send(to, Message::S { known });
                }
            }
            self.begin(context);
            self.led = false;
            return true;
        }
        if context.now >= self.next_log() {
            self.logged = context.now.since(self.last).as_secs();
            if regular {
                context.log(Event::AwaitS {
                    seconds: self.logged,
                });
            }
        }
        false
    }

    /// S came. Whether it begins a round: not when one began just now.
    pub(super) fn heard(&mut self, context: &Context) -> bool {
        let fresh = context.now.since(self.last) >= context.timings().t_im / 2;
        if fresh {
            self.begin(context);
            self.led = true;
        }
        fresh
    }
}
