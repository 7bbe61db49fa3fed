//! What a reading of the share brings: claims, evidence for grants, and at first the start of work.

use super::claim::Record;
use super::{Event, Management, Now, PATIENCE, Query, READ_EVERY};
use crate::cluster::{Epoch, ServerName};

impl Management {
    /// A reading ended.
    pub(super) fn claims(
        &mut self,
        query: &Query,
        begun: Now,
        result: Result<Vec<Record>, String>,
    ) {
        match result {
            Ok(records) => {
                self.unread = 0;
                for record in &records {
                    self.context.learn(record.clone());
                }
                self.noted(query, begun, &records);
                if *query == Query::All {
                    self.begin();
                    // Of files that two servers wrote at once, the last one may be the older.
                    if self.context.group.head() == Some(&self.context.config.me) {
                        self.context.write_views();
                    }
                }
                if let Query::One(function) = query {
                    self.read_one(function, begun, records.first());
                }
                self.answer_late();
            }
            Err(reason) => {
                self.context.unread(query);
                if self.unread == 0 {
                    self.context.log(Event::ShareSilent {
                        reason: reason.clone(),
                    });
                }
                self.unread = self.unread.saturating_add(1);
                if let Query::One(function) = query {
                    if *function == self.context.config.me {
                        self.home.unread(&self.context, begun);
                    }
                    if let Some(guest) = self.guests.get_mut(function) {
                        guest.unread(&mut self.context, &reason);
                    }
                } else if self.unread >= PATIENCE {
                    self.begin();
                }
            }
        }
    }

    /// What a reading says about grants: nothing of a function with a claim that it missed.
    fn noted(&mut self, query: &Query, begun: Now, records: &[Record]) {
        let context = &mut self.context;
        let names: Vec<ServerName> = match query {
            Query::All => {
                context.noted_all(begun);
                context.config.base.names().cloned().collect()
            }
            Query::One(function) => vec![function.clone()],
        };
        for name in names {
            let read = records.iter().find(|r| r.claim.function == name);
            let epoch = read.map_or(Epoch(0), |record| record.claim.epoch);
            if epoch == context.ledger.epoch(&name) {
                context.noted(&name, begun);
            }
        }
    }

    fn read_one(&mut self, function: &ServerName, begun: Now, newest: Option<&Record>) {
        let context = &mut self.context;
        let known = context.ledger.epoch(function);
        let current = newest.map_or(Epoch(0), |record| record.claim.epoch) >= known;
        let at_home = current && !newest.is_some_and(Record::is_away);
        if *function == context.config.me {
            self.home.read(context, begun, at_home);
        }
        if let Some(guest) = self.guests.get_mut(function) {
            guest.read(context, begun, newest);
        }
    }

    /// The claims are known: work begins.
    fn begin(&mut self) {
        if self.ready {
            return;
        }
        self.ready = true;
        self.context.started = self.context.now;
        self.context.joined();
        self.next_read = self.context.now + self.context.timings().t_im * READ_EVERY;
        self.context.changed = true;
        self.sync.begin(&self.context);
        let (server, group) = (self.context.me(), self.context.group.len());
        self.context.log(Event::Started { server, group });
    }
}
