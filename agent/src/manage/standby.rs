//! Golden states kept loaded (setting `activation = "standby"`).
//!
//! While all is healthy, P1 of each function keeps its state loaded on the host that placement
//! favours, all functions taken together so that they spread. Another host must be favoured for
//! `standby_move` before the state moves. The order is repeated every T_im, because a host forgets
//! when it restarts. Each server places its functions in turns of its own rounds, so that they are not
//! all loaded at once: the share would be slow enough for healthy services to look ill. The servers
//! count their rounds each for itself, so turns of several can still coincide.

use std::collections::BTreeMap;

use super::Event;
use super::context::Context;
use super::io::{Now, Output};
use super::message::Message;
use super::placement;
use crate::cluster::{Activation, ServerName};

/// Rounds until each function had its turn.
const TURNS: usize = 6;

/// What this server decided, as P1, and what it has loaded, as a host.
#[derive(Debug, Default)]
pub(super) struct Standbys {
    /// Since when another host is favoured.
    favoured: BTreeMap<ServerName, (ServerName, Now)>,
    loaded: Vec<ServerName>,
    rounds: usize,
}

impl Standbys {
    /// Once a round: decides for the functions that this server manages with P1 and finds well.
    pub(super) fn round(&mut self, context: &mut Context, mine: &[ServerName]) {
        if context.config.settings.activation != Activation::Standby || context.samples.is_empty() {
            return;
        }
        let types = context
            .config
            .data
            .iter()
            .map(|(n, d)| (n.clone(), d.server_type))
            .collect();
        let wanted = placement::standbys(
            &context.views.group,
            &types,
            &context.config.vm_memory_kb,
            &context.standbys,
            &context.samples,
            &context.running(),
        );
        self.rounds += 1;
        for function in mine {
            let Some(host) = wanted.get(function) else {
                continue;
            };
            let place = context.views.group.position(function).unwrap_or(0);
            let placed = context.standbys.get(function);
            let alive = placed.is_some_and(|host| context.views.group.contains(host));
            if !alive && place % TURNS != self.rounds % TURNS {
                continue;
            }
            self.decide(context, function, host);
        }
    }

    fn decide(&mut self, context: &mut Context, function: &ServerName, host: &ServerName) {
        let current = context.standbys.get(function).cloned();
        let alive = current
            .as_ref()
            .is_some_and(|current| context.views.group.contains(current));
        let stays = match &current {
            Some(current) if alive && current == host => true,
            Some(_) if alive => {
                let now = context.now;
                let entry = self
                    .favoured
                    .entry(function.clone())
                    .or_insert((host.clone(), now));
                if entry.0 != *host {
                    *entry = (host.clone(), now);
                }
                now.since(entry.1) < context.timings().standby_move
            }
            _ => false,
        };
        if stays {
            if let Some(host) = current {
                let function = function.clone();
                context.send(&host.clone(), Message::Standby { function, host });
            }
            return;
        }
        self.favoured.remove(function);
        let (target, host) = (function.clone(), host.clone());
        context.log(Event::StandbyPlaced {
            target,
            host: host.clone(),
        });
        let message = Message::Standby {
            function: function.clone(),
            host,
        };
        context.broadcast(&message);
        context.loops.push(message);
    }

    /// Somebody placed a state.
    pub(super) fn placed(&mut self, context: &mut Context, function: ServerName, host: ServerName) {
        let here = host == context.config.me && function != context.config.me;
        let loaded = self.loaded.contains(&function);
        if here && !loaded {
            self.loaded.push(function.clone());
        }
        if here {
            context.out.push(Output::Standby {
                function: function.clone(),
                load: true,
            });
        } else if loaded {
            self.loaded.retain(|name| *name != function);
            context.out.push(Output::Standby {
                function: function.clone(),
                load: false,
            });
        }
        context.standbys.insert(function, host);
    }

    /// A state that was loaded here is a running VM now.
    pub(super) fn used(&mut self, function: &ServerName) {
        self.loaded.retain(|name| name != function);
    }
}
