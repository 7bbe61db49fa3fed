//! Makes the trouble: the first at its moment of a round, those that follow when the functions are
//! recovered.

use super::{LOOK_EVERY, Run, Stage};
use crate::experiment::atrest::wait;
use crate::experiment::client;
use crate::experiment::cycle::{self, Cycle};
use crate::experiment::fault;
use crate::experiment::plan::Step;
use crate::experiment::site::SiteServer;
use crate::experiment::spec::{Strike, Then, TroubleKind, Whom};
use anyhow::Context;
use std::time::Duration;

/// The client is served by all that were lost before, and by the next.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

impl Run<'_> {
    /// Makes the trouble at its moment after the next S that a manager outside the trouble logs.
    pub(super) fn strike(&mut self) -> anyhow::Result<()> {
        let t_im = self
            .settings
            .as_ref()
            .map(|s| s.timings.t_im)
            .unwrap_or_default();
        let moment = self.experiment.moment.after_s(t_im);
        let names: Vec<&str> = self.servers.iter().map(|s| s.name.as_str()).collect();
        let watch = cycle::watch(&names, &self.targets)?;
        let (mut cycle, mut strike) = (Cycle::default(), None);
        self.await_step(Step::Cycle, |run| {
            let Some(follower) = &mut run.follower else {
                return Ok(None);
            };
            for (server, entry) in follower.poll(run.site)? {
                if server != watch {
                    continue;
                }
                if let Some(s) = cycle.begins(&entry) {
                    // When the line was read too late for this round, the next ones follow T_im
                    // apart.
                    let mut at = run.clocks[0].to_lab(&watch, s) + moment;
                    while at < run.site.now() && !t_im.is_zero() {
                        at += t_im;
                    }
                    strike = Some(at);
                }
            }
            Ok(strike
                .is_none()
                .then(|| format!("{watch} logged no new cycle")))
        })?;
        let strike = strike.context("no cycle was found")?;
        self.await_step(Step::Moment, |run| {
            let left = strike.saturating_sub(run.site.now());
            if left > LOOK_EVERY {
                return Ok(Some(format!("{:.1} s to go", left.as_secs_f64())));
            }
            run.site.sleep(left)?;
            Ok(None)
        })?;
        let struck = self.strikes()?;
        self.make(struck, None)
    }

    /// Strikes further servers, one when the functions of those before it are served elsewhere.
    pub(super) fn strike_on(&mut self) -> anyhow::Result<()> {
        let t_im = self.settings.as_ref().map(|s| s.timings.t_im);
        let moment = self.experiment.moment.after_s(t_im.unwrap_or_default());
        for (number, then) in self.experiment.then.iter().enumerate() {
            let (server, hosted) = self.whom(then)?;
            if !self.targets.contains(&server.name) {
                client::start(self.site, &server, self.experiment.poll)?;
                self.targets.push(server.name.clone());
            }
            wait(&*self.site, SERVED_WITHIN, || self.unserved())
                .with_context(|| format!("before {} is lost", server.name))?;
            self.site.sleep(moment)?;
            self.make(vec![(server.clone(), then.trouble)], hosted.clone())?;
            let gone: Vec<String> = self.all_strikes().into_iter().map(|s| s.server).collect();
            self.await_step(Step::Then(number), |run| {
                run.follow()?;
                let story = run.story();
                let lacks = |function: &&String| {
                    // Its host may be out by now; on another one it is a later recovery.
                    let host = story.host(function);
                    host.is_none_or(|on| gone.iter().any(|server| server == on))
                };
                let missing = gone.iter().find(lacks);
                Ok(missing.map(|function| format!("{function} is not recovered elsewhere")))
            })?;
            self.look()?;
            self.recovered();
        }
        Ok(())
    }

    /// Whom the next trouble befalls, and whose backup VM it hosts, if it is struck for that.
    fn whom(&self, then: &Then) -> anyhow::Result<(SiteServer, Option<String>)> {
        let (name, hosted) = match &then.whom {
            Whom::Server(name) => (name.clone(), None),
            Whom::HostOf(function) => {
                let host = self.story().host(function).map(str::to_owned);
                let host =
                    host.with_context(|| format!("no log tells who hosts the VM of {function}"))?;
                (host, Some(function.clone()))
            }
        };
        Ok((self.server(&name)?, hosted))
    }

    /// Makes trouble, and notes it as a stage.
    fn make(
        &mut self,
        troubles: Vec<(SiteServer, TroubleKind)>,
        hosted: Option<String>,
    ) -> anyhow::Result<()> {
        let strike = |(server, trouble): &(SiteServer, TroubleKind)| Strike {
            server: server.name.clone(),
            trouble: *trouble,
        };
        self.stages.push(Stage {
            at: self.site.now(),
            strikes: troubles.iter().map(strike).collect(),
            hosted,
            looks: 0,
        });
        for (server, trouble) in troubles {
            self.progress.note(&fault::describe(trouble, &server));
            fault::strike(self.site, trouble, &server)?;
        }
        Ok(())
    }

    /// The functions of the last stage are served again, and the ring was looked at.
    pub(super) fn recovered(&mut self) {
        let looks = self.looks.len();
        if let Some(stage) = self.stages.last_mut() {
            stage.looks = looks;
        }
    }

    /// The servers that are struck first, each with what befalls it.
    pub(super) fn strikes(&self) -> anyhow::Result<Vec<(SiteServer, TroubleKind)>> {
        let strikes = self.experiment.strikes.iter();
        let find = |strike: &Strike| Ok((self.server(&strike.server)?, strike.trouble));
        strikes.map(find).collect()
    }

    fn server(&self, name: &str) -> anyhow::Result<SiteServer> {
        let server = self.servers.iter().find(|server| server.name == name);
        server
            .cloned()
            .with_context(|| format!("the site has no server {name}"))
    }
}
