//! Decisions: the management program of the paper (section 3). Pure: no I/O, no clock, no random.
//!
//! [`Management`] is all that one server decides. The node feeds it inputs with the time and
//! carries out the outputs; the testbed's simulator does the same in virtual time for whole
//! clusters, which is where they are tested.
//!
//! | part | what |
//! |---|---|
//! | `manager` | the five modes, one program for each target |
//! | `case`, `inherit` | one recovery: backup server, target server recovery; those that others began |
//! | `job` | background jobs 1 and 2 |
//! | `home`, `guest` | the own VIP; backup VMs of others on this server |
//! | `grant`, `moments`, `question` | who may hold a VIP, as a manager says it |
//! | `sight`, `sync`, `load`, `standby` | second opinions; rounds; loads; loaded golden states |
//! | `route`, `reading` | which part an input goes to; what the share says |
//! | `claim`, `ledger` | who may act for a function, and the management files that follow |
//! | `placement` | where a backup VM starts |
//! | `event`, `message`, `io` | the log's language, the agents', and the node's |

mod case;
pub mod claim;
mod context;
pub mod event;
mod exam;
mod grant;
mod guest;
mod home;
mod inherit;
mod io;
mod job;
mod ledger;
mod load;
mod manager;
pub mod message;
mod moments;
pub mod placement;
mod question;
mod reading;
mod route;
mod sight;
mod standby;
mod sync;

use std::collections::BTreeMap;
use std::time::Duration;

use case::{Case, Progress};
use claim::Claim;
use context::Context;
pub use event::Event;
use guest::Guest;
use home::Home;
pub use io::{Asker, ClaimResult, Config, ExamId, Input, Now, Output, Query, Views};
use manager::{Manager, Mode, Wish};
pub use message::Message;
use question::Question;
use sight::Sights;
use standby::Standbys;
use sync::Sync;

use crate::cluster::{Epoch, Group, Priority, ServerName, Task};

/// How often all claims are read, in T_im, by the head of the group and by who hears no S: a server
/// that missed a message catches up, and the others with the next S.
const READ_EVERY: u32 = 6;
/// Readings of the share that may fail before a starting node works without.
const PATIENCE: u32 = 3;

/// The least time between two ticks.
const LEAST: Duration = Duration::from_millis(10);

/// All that one server decides.
#[derive(Debug)]
pub struct Management {
    context: Context,
    managers: BTreeMap<ServerName, Manager>,
    cases: BTreeMap<ServerName, Case>,
    home: Home,
    guests: BTreeMap<ServerName, Guest>,
    /// Claims for home after a false alarm, and for recoveries of lost owners.
    errands: BTreeMap<ServerName, Errand>,
    /// Targets whose recovery is over, and that have not said yet that they hold their VIP, with its epoch.
    called_home: BTreeMap<ServerName, Epoch>,
    sights: Sights,
    sync: Sync,
    standbys: Standbys,
    /// The claims were read once, or the share is silent.
    ready: bool,
    unread: u32,
    next_read: Now,
    /// When something is to be done next without an input, as of the last time all parts went on.
    due: Now,
    /// Holders that run short and had no answer that helps, by function.
    unanswered: BTreeMap<ServerName, Question>,
    /// Recoveries that servers handed over which were claimed by us.
    handed: BTreeMap<ServerName, Handed>,
    /// Who waits for our services to restart.
    restart_for: Option<ServerName>,
}

/// A claim outside any case.
#[derive(Debug)]
struct Errand {
    claim: Claim,
    retry: Now,
}

/// A recovery that its owner is no longer at, since it was claimed itself.
#[derive(Debug)]
struct Handed {
    /// That owner.
    sender: ServerName,
    /// Its claim on the function.
    epoch: Epoch,
    /// The claim on itself.
    out: Epoch,
    /// Older holders than it may have the VIP until then.
    until: Now,
}

impl Management {
    /// The decisions of one server, which has yet to read the claims.
    pub fn new(config: Config) -> Self {
        Self {
            context: Context::new(config),
            managers: BTreeMap::new(),
            cases: BTreeMap::new(),
            home: Home::new(),
            guests: BTreeMap::new(),
            errands: BTreeMap::new(),
            called_home: BTreeMap::new(),
            sights: Sights::default(),
            sync: Sync::default(),
            standbys: Standbys::default(),
            ready: false,
            unread: 0,
            next_read: Now::default(),
            due: Now::default(),
            unanswered: BTreeMap::new(),
            handed: BTreeMap::new(),
            restart_for: None,
        }
    }

    /// Takes an input and adds to `out` what is to be done. Time never goes back: an earlier `now`
    /// counts as the latest seen.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Output>) {
        self.context.now = self.context.now.max(now);
        let moves = self.context.now >= self.due || self.moves(&input);
        self.route(input);
        if moves || self.context.changed || !self.context.loops.is_empty() {
            self.settle();
            self.due = self.deadline();
        }
        out.append(&mut self.context.out);
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Now {
        self.due
    }

    fn deadline(&self) -> Now {
        let context = &self.context;
        let managers = self
            .managers
            .values()
            .map(|manager| manager.deadline(context));
        let cases = self.cases.values().map(|case| case.deadline(context));
        let guests = self.guests.values().map(Guest::deadline);
        let errands = self.errands.values().map(|errand| errand.retry);
        let ready = self.ready.then(|| {
            let own = self.home.deadline().min(self.sync.deadline(context));
            own.min(context.next_question())
        });
        let due = managers
            .chain(cases)
            .chain(guests)
            .chain(errands)
            .chain(ready)
            .fold(self.next_read, Now::min);
        if due > context.now {
            due
        } else {
            // All that was due is done; what still looks due waits for an input.
            context.now + LEAST
        }
    }

    /// The servers that manage and are managed, as this server sees it.
    pub fn group(&self) -> &Group {
        &self.context.group
    }

    /// The newest epoch this server knows of a function.
    pub fn epoch(&self, function: &ServerName) -> Epoch {
        self.context.ledger.epoch(function)
    }

    /// The newest epochs this server knows of all functions that were ever claimed, by name.
    pub fn epochs(&self) -> impl Iterator<Item = (&ServerName, Epoch)> {
        let records = self.context.ledger.all();
        records.map(|record| (&record.claim.function, record.claim.epoch))
    }

    /// How often this server learnt something new of any function: as long as this stays the same,
    /// so do all epochs.
    pub fn news(&self) -> u64 {
        self.context.ledger.news()
    }

    /// The epoch under which this server runs the backup VM of a function, if it does.
    pub fn guest_epoch(&self, function: &ServerName) -> Option<Epoch> {
        self.guests.get(function).map(Guest::epoch)
    }

    /// Whether this server holds its own VIP.
    pub fn holds_vip(&self) -> bool {
        self.home.is_held()
    }

    /// The mode of each management program, for people.
    pub fn modes(&self) -> Vec<(Priority, ServerName, String)> {
        let mode = |manager: &Manager| {
            let name = match manager.mode {
                Mode::Regular => "Regular",
                Mode::NetworkExamination(_) => "Network examination",
                Mode::ServiceRecovery(_) => "Service recovery",
                Mode::BackupServer => "Backup server",
                Mode::TargetServerRecovery => "Target server recovery",
                Mode::Waiting { .. } => "P2_wait",
            };
            (manager.priority, manager.target.clone(), name.to_owned())
        };
        self.managers.values().map(mode).collect()
    }

    /// Lets every part go on until nothing is left to do now.
    fn settle(&mut self) {
        // Each pass either sends messages to ourselves or changes the views, both few.
        for _ in 0..16 {
            self.tick();
            if self.context.changed && self.ready {
                self.context.changed = false;
                self.realign();
            }
            let loops = std::mem::take(&mut self.context.loops);
            if loops.is_empty() && !(self.context.changed && self.ready) {
                return;
            }
            let me = self.context.me();
            for message in loops {
                self.message(&me, message);
            }
        }
    }

    fn tick(&mut self) {
        if self.context.now >= self.next_read {
            let pause = self.context.timings().t_im * READ_EVERY;
            let pause = if self.ready {
                pause
            } else {
                self.context.timings().t_wait
            };
            self.next_read = self.context.now + pause;
            if !self.ready || !self.sync.is_led() {
                self.context.out.push(Output::ReadClaims(Query::All));
            }
        }
        if !self.ready {
            return;
        }
        if self.context.now >= self.context.next_question() {
            let managers = self.managers.values();
            let managed = managers.filter(|m| m.may_grant(&self.context));
            let functions = managed.map(|m| &m.target).chain(self.cases.keys());
            let functions: Vec<&ServerName> = functions.collect();
            self.context.question(&functions);
        }
        self.home.tick(&mut self.context);
        let regular = |m: &Manager| m.priority == Priority::P1 && m.mode == Mode::Regular;
        let regular = self.managers.values().any(regular);
        if self.sync.tick(&mut self.context, regular) {
            self.round();
        }
        let mut wishes = Vec::new();
        for (target, manager) in &mut self.managers {
            if let Some(wish) = manager.tick(&mut self.context) {
                wishes.push((target.clone(), wish));
            }
        }
        for (target, wish) in wishes {
            self.grant_wish(&target, Some(wish));
        }
        for case in self.cases.values_mut() {
            case.tick(&mut self.context);
        }
        for guest in self.guests.values_mut() {
            guest.overruled(&mut self.context);
            guest.tick(&mut self.context);
        }
        self.guests.retain(|_, guest| !guest.is_gone());
        self.follow_cases();
        for target in std::mem::take(&mut self.context.scouts) {
            if !self.managers.contains_key(&target) {
                self.sights.scout(&mut self.context, &target);
            }
        }
        self.give_back();
        for errand in self.errands.values_mut() {
            if self.context.now >= errand.retry {
                errand.retry = self.context.now + self.context.timings().t_wait;
                self.context.out.push(Output::Claim(errand.claim.clone()));
            }
        }
    }

    /// A round begins: every target is examined.
    fn round(&mut self) {
        self.standbys.round(&mut self.context);
        for manager in self.managers.values_mut() {
            manager.round(&mut self.context);
        }
    }

    /// The functions that this server acts or may act against: nobody may grant on its word.
    fn doubts(&self) -> Vec<ServerName> {
        let managers = self.managers.values();
        let examined = managers.filter(|m| !m.may_vouch(&self.context));
        let doubted = examined.map(|m| &m.target).chain(self.cases.keys());
        doubted.chain(self.context.all_open()).cloned().collect()
    }

    /// Matches the management programs with the operation file, and the cases with the claims.
    fn realign(&mut self) {
        let me = self.context.me();
        let tasks: Vec<Task> = if self.context.in_group() {
            self.context.operation.on(&me).cloned().collect()
        } else {
            Vec::new()
        };
        for manager in self.managers.values_mut() {
            manager.realign(&mut self.context);
        }
        let ended: Vec<ServerName> = self
            .managers
            .values()
            .filter(|m| m.is_idle() && !tasks.iter().any(|task| task.target == m.target))
            .map(|m| m.target.clone())
            .collect();
        for target in &ended {
            self.end(target);
        }
        for task in tasks {
            match self.managers.get_mut(&task.target) {
                Some(manager) if manager.is_idle() => manager.priority = task.priority,
                Some(_) => {}
                None => {
                    let (priority, target) = (task.priority, task.target.clone());
                    self.context.log(Event::ManagerStarted { priority, target });
                    let manager = Manager::start(&mut self.context, &task.target, task.priority);
                    self.managers.insert(task.target.clone(), manager);
                    if self.sights.is_silent(&self.context, &task.target) {
                        let manager = self.managers.get_mut(&task.target);
                        let wish = manager.and_then(|m| m.found_silent(&mut self.context));
                        self.grant_wish(&task.target, wish);
                    }
                }
            }
        }
        self.drop_overruled_cases();
        self.hand_over();
        self.inherit_orphans();
    }

    fn end(&mut self, target: &ServerName) {
        if let Some(manager) = self.managers.remove(target) {
            let (priority, target) = (manager.priority, manager.target);
            self.context.log(Event::ManagerEnded { priority, target });
        }
    }

    /// Somebody else claimed what we were at.
    fn drop_overruled_cases(&mut self) {
        let context = &self.context;
        let overruled = |case: &Case, function: &ServerName| {
            context.ledger.get(function).is_some_and(|record| {
                record.claim.epoch > case.epoch() && record.claim.owner != context.config.me
            })
        };
        let lost: Vec<ServerName> = self
            .cases
            .iter()
            .filter(|(f, case)| overruled(case, f))
            .map(|(f, _)| f.clone())
            .collect();
        for function in lost {
            self.leave(&function);
        }
    }

    /// Somebody else sees to a function from now on.
    fn leave(&mut self, function: &ServerName) {
        self.cases.remove(function);
        if let Some(manager) = self.managers.get_mut(function) {
            manager.regular(&mut self.context);
            manager.realign(&mut self.context);
            self.context.changed = true;
        }
    }

    fn grant_wish(&mut self, target: &ServerName, wish: Option<Wish>) {
        match wish {
            None => {}
            Some(Wish::End) => self.end(target),
            Some(Wish::Inherit) => self.inherit(target),
            Some(Wish::Withdraw) => self.withdraw(target),
            Some(Wish::Open { claim, cause, out }) => {
                let partner = self.managers.get(target).and_then(|m| m.partner.clone());
                let case = Case::open(&mut self.context, claim, cause, partner, out);
                self.context.look_again();
                self.cases.insert(target.clone(), case);
            }
        }
    }

    /// Managers in the last two modes go where their cases went.
    fn follow_cases(&mut self) {
        let progress: Vec<(ServerName, Progress)> = self
            .cases
            .iter()
            .map(|(function, case)| (function.clone(), case.progress()))
            .collect();
        for (function, progress) in progress {
            if let Progress::Closed { held } = progress {
                let case = self.cases.remove(&function);
                if let Some(case) = case.filter(|_| !held) {
                    self.called_home.insert(function.clone(), case.epoch());
                }
                if let Some(manager) = self.managers.get_mut(&function) {
                    manager.follow(&mut self.context, Mode::Regular);
                }
                self.context.changed = true;
                continue;
            }
            let Some(manager) = self.managers.get_mut(&function) else {
                continue;
            };
            match progress {
                Progress::Backup => manager.follow(&mut self.context, Mode::BackupServer),
                Progress::Target => manager.follow(&mut self.context, Mode::TargetServerRecovery),
                Progress::GivenUp => self.end(&function),
                Progress::Closed { .. } => {}
            }
        }
    }

    /// This node stood still, or its clock jumped: whether that time passed elsewhere too cannot be told. So
    /// what we hold runs out, and what others may hold is waited for as if it had not passed.
    fn late(&mut self, by: Duration) {
        let late_ms = Now(by).as_millis();
        self.context.log(Event::Late { late_ms });
        self.context.steady = self.context.now + self.context.timings().t_sw;
        self.context.postpone(by);
        self.sights.void();
        for manager in self.managers.values_mut() {
            manager.void(&mut self.context);
            manager.postpone(by);
        }
        for case in self.cases.values_mut() {
            case.void(&self.context);
            case.postpone(by);
        }
        for handed in self.handed.values_mut() {
            handed.until = handed.until + by;
        }
    }
}
