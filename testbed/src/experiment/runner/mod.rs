//! Carries out one run of an experiment: trouble, waiting, collecting, judging.
//!
//! Whatever happens on the way, everything is collected and judged at the end, so that a run that
//! failed can be understood from its directory alone.

mod strike;

use super::atrest;
use super::calibrate::{self, Needs};
use super::client;
use super::clocks::Clocks;
use super::collect;
use super::conditions;
use super::follow::Follower;
use super::plan::{Plan, Step};
use super::progress::Progress;
use super::ring::RingState;
use super::rundir::RunDir;
use super::site::{self, Site, SiteServer, node};
use super::spec::{Experiment, Strike, Survey, Until};
use super::survey::{self, UnderLoad};
use crate::report::analytical::Characteristics;
use crate::report::calibration::Calibration;
use crate::report::clock;
use crate::report::paper::Paper;
use crate::report::story::{Milestone, Story};
use anyhow::bail;
use ringward::cluster::{Settings, Timings};
use ringward::manage::Event;
use std::time::Duration;

/// Between two looks at what is awaited. Each starts programs in emulated machines; the times of the
/// report are those of the logs, whenever they are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rounds for which a ring must be regular before it is troubled.
const SETTLED: u32 = 2;

/// One run under way, and afterwards what it left.
pub struct Run<'a> {
    site: &'a mut dyn Site,
    progress: &'a mut dyn Progress,
    pub(super) experiment: &'a Experiment,
    /// Names of the servers in trouble.
    targets: Vec<String>,
    plan: Plan,
    /// What is known of the first target's machine, for the plan.
    known: Characteristics,
    pub(super) servers: Vec<SiteServer>,
    follower: Option<Follower>,
    /// What could not be done or was awaited in vain.
    pub(super) failures: Vec<String>,
    /// The settings of the cluster, once they were read.
    pub(super) settings: Option<Settings>,
    /// Looks at the ring with their moments, by the lab's clock.
    pub(super) looks: Vec<(Duration, RingState)>,
    /// Clocks before the trouble and at the end.
    pub(super) clocks: [Clocks; 2],
    /// What was done, stage by stage.
    pub(super) stages: Vec<Stage>,
    /// What was measured of the machines at rest.
    pub(super) under_load: UnderLoad,
}

/// What was done at one moment.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    /// When, by the lab's clock.
    pub(super) at: Duration,
    /// What befell whom.
    pub(super) strikes: Vec<Strike>,
    /// The server whose backup VM was lost with its host.
    pub(super) hosted: Option<String>,
    /// How many looks at the ring there were when all functions were served again.
    pub(super) looks: usize,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    pub fn new(
        site: &'a mut dyn Site,
        progress: &'a mut dyn Progress,
        experiment: &'a Experiment,
        calibration: &Calibration,
    ) -> Self {
        let timings = Timings::profile(experiment.profile);
        let targets = experiment.targets();
        let target = targets.first().map_or("", String::as_str);
        let known = calibration.characteristics(target, experiment.activation(), None);
        let plan = Plan::new(experiment, &timings, known);
        let servers = site.servers();
        Self {
            site,
            progress,
            experiment,
            targets,
            plan,
            known,
            servers,
            follower: None,
            failures: Vec::new(),
            settings: None,
            looks: Vec::new(),
            clocks: Default::default(),
            stages: Vec::new(),
            under_load: UnderLoad::new(),
        }
    }

    /// Carries the run out and collects what it left into `folder` of the run directory. What of
    /// `needs` is not known of the machines yet is measured before. What goes wrong is in the run's
    /// failures.
    pub fn carry_out(&mut self, fresh: bool, needs: &Needs, dir: &mut RunDir, folder: &str) {
        self.progress.plan(
            &format!("{}: {}", self.experiment.name(), self.experiment.title),
            &self.plan.phases(),
        );
        if let Err(error) = self.until_home(fresh, needs, dir, folder) {
            self.failures.push(format!("{error:#}"));
            self.progress.note(&format!("failed: {error:#}"));
        }
        // After an interruption nothing more is asked of the machines.
        if self.site.sleep(Duration::ZERO).is_ok() {
            self.collect(dir, folder);
        }
    }

    /// The logs as far as they were followed.
    pub(super) fn story(&self) -> Story {
        self.follower
            .as_ref()
            .map(|follower| follower.story().clone())
            .unwrap_or_default()
    }

    /// What was done so far, and to whom.
    pub(super) fn all_strikes(&self) -> Vec<Strike> {
        let strikes = self.stages.iter().map(|stage| &stage.strikes);
        strikes.flatten().cloned().collect()
    }

    /// The timings in force; before they are read, the profile's.
    fn timings(&self) -> Timings {
        self.settings.as_ref().map_or_else(
            || Timings::profile(self.experiment.profile),
            |settings| settings.timings.clone(),
        )
    }

    /// Where the run was made.
    pub(super) fn site(&self) -> &dyn Site {
        &*self.site
    }

    fn until_home(
        &mut self,
        fresh: bool,
        needs: &Needs,
        dir: &mut RunDir,
        folder: &str,
    ) -> anyhow::Result<()> {
        self.prepare(fresh, needs)?;
        self.set_conditions()?;
        self.read_settings()?;
        if let Some(survey) = &self.experiment.survey {
            return self.survey(survey);
        }
        atrest::begin(self.site, &self.servers)?;
        self.await_regular(Step::Regular)?;
        collect::management(self.site, dir, folder, "before");
        for (target, _) in self.strikes()? {
            client::start(self.site, &target, self.experiment.poll)?;
        }
        self.await_step(Step::Served, |run| run.unserved())?;
        self.follower = Some(Follower::start(self.site)?);
        let names: Vec<String> = self.machines();
        self.clocks[0] = Clocks::read(self.site, names.iter().map(String::as_str));
        self.strike()?;
        self.await_milestone(Step::Detected, Milestone::Detected)?;
        if self.plan.find(Step::Function).is_some() {
            self.await_milestone(Step::Function, Milestone::FunctionRecovered)?;
            // For the audit; the recovery does not wait for a machine that is slow to answer.
            match self.look() {
                Ok(()) => self.recovered(),
                Err(error) => self
                    .progress
                    .note(&format!("no look at the ring: {error:#}")),
            }
        }
        self.strike_on()?;
        self.await_step(Step::ServedAgain, |run| run.unserved())?;
        self.await_milestone(Step::Target, Milestone::TargetRecovered)?;
        self.await_regular(Step::Home)
    }

    /// Brings the cluster into the conditions that the experiment asks for, with timings that its machines
    /// can keep.
    fn set_conditions(&mut self) -> anyhow::Result<()> {
        let (known, paper) = (calibrate::kept(&*self.site)?, Paper::load()?);
        if let Some(words) = known.stretched(&paper) {
            conditions::stretch(&*self.site, known.stretch(&paper))?;
            self.progress.note(&words);
        }
        let Some((index, phase)) = self.plan.find(Step::Conditions) else {
            return Ok(());
        };
        self.progress.begin(index, phase);
        let (progress, began) = (&mut self.progress, self.site.now());
        let mut say = |text: &str| progress.note(text);
        let conditions = &self.experiment.conditions;
        conditions::set(&*self.site, conditions, &mut say)?;
        self.progress
            .end(phase, self.site.now().saturating_sub(began));
        Ok(())
    }

    /// Measures what machines at rest are asked for. What they are like was measured before, with what
    /// other experiments need of it.
    fn survey(&mut self, survey: &Survey) -> anyhow::Result<()> {
        if *survey == Survey::Machines {
            let names: Vec<&str> = self.servers.iter().map(|s| s.name.as_str()).collect();
            let needs = calibrate::needs(std::slice::from_ref(self.experiment), &names);
            let lacking = calibrate::lacking(&calibrate::kept(&*self.site)?, &needs);
            if !lacking.is_empty() {
                let names: Vec<&str> = lacking.keys().map(String::as_str).collect();
                bail!(
                    "not all was measured of {}: see what was said about it, and run with --fresh",
                    names.join(", ")
                );
            }
        }
        let (Survey::Activation { of, on, under }, Some((index, phase))) =
            (survey, self.plan.find(Step::Surveyed))
        else {
            return Ok(());
        };
        self.progress.begin(index, phase);
        let (progress, began) = (&mut self.progress, self.site.now());
        let mut say = |text: &str| progress.note(text);
        let (site, servers) = (&*self.site, &self.servers);
        let all = &mut self.under_load;
        survey::activations(site, servers, [of, on], under, &mut say, all)?;
        self.progress
            .end(phase, self.site.now().saturating_sub(began));
        Ok(())
    }

    fn prepare(&mut self, fresh: bool, needs: &Needs) -> anyhow::Result<()> {
        let began = self.site.now();
        let Some((index, phase)) = self.plan.find(Step::Lab) else {
            return Ok(());
        };
        self.progress.begin(index, phase);
        let (progress, profile) = (&mut self.progress, self.experiment.profile);
        let mut say = |text: &str| progress.note(text);
        self.site.prepare(profile, fresh, &mut say)?;
        let known = if fresh {
            Calibration::default()
        } else {
            calibrate::kept(&*self.site)?
        };
        let lacking = calibrate::lacking(&known, needs);
        if !lacking.is_empty() {
            calibrate::measure_and_keep(self.site, known, &lacking, &mut say)?;
            self.site.prepare(profile, false, &mut say)?;
        }
        self.progress
            .end(phase, self.site.now().saturating_sub(began));
        Ok(())
    }

    /// Looks again and again until `look` gives no reason to go on waiting.
    fn await_step(
        &mut self,
        step: Step,
        mut look: impl FnMut(&mut Self) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<()> {
        let Some((index, phase)) = self.plan.find(step) else {
            return Ok(());
        };
        let phase = phase.clone();
        self.progress.begin(index, &phase);
        let began = self.site.now();
        loop {
            // A busy machine may fail to answer once; the bound decides.
            let reason = look(self).unwrap_or_else(|error| Some(format!("{error:#}")));
            let took = self.site.now().saturating_sub(began);
            let Some(reason) = reason else {
                self.progress.end(&phase, took);
                return Ok(());
            };
            if took > phase.bound {
                bail!(
                    "{}: not within {} s ({reason})",
                    phase.name,
                    phase.bound.as_secs()
                );
            }
            self.progress.tick();
            self.site.sleep(LOOK_EVERY)?;
        }
    }

    /// Waits for a regular ring; before the trouble, for one that was regular for some rounds and has the
    /// targets' golden states at hand: machines that were just loaded do everything slowly the first time.
    fn await_regular(&mut self, step: Step) -> anyhow::Result<()> {
        let (mut last, mut since) = (None, None);
        let settled = match step {
            Step::Regular => SETTLED * self.timings().t_im,
            _ => Duration::ZERO,
        };
        self.await_step(step, |run| {
            if run.follower.is_some() {
                run.follow()?;
            }
            let state = RingState::look(run.site)?;
            let reason = match state.irregular(&run.servers) {
                None if step == Step::Home => run.unserved()?,
                None if step == Step::Regular => {
                    let activation = run.experiment.conditions.activation.unwrap_or_default();
                    state.unready(&run.servers, &run.targets, activation)
                }
                reason => reason,
            };
            let now = run.site.now();
            last = Some((now, state));
            if reason.is_some() {
                since = None;
                return Ok(reason);
            }
            let regular = now.saturating_sub(*since.get_or_insert(now));
            Ok((regular < settled).then(|| format!("for {} s only", regular.as_secs())))
        })?;
        self.looks.extend(last);
        Ok(())
    }

    fn await_milestone(&mut self, step: Step, milestone: Milestone) -> anyhow::Result<()> {
        self.await_step(step, |run| {
            run.follow()?;
            let story = run.story();
            let lacks = |strike: &&Strike| {
                // Without a backup VM the function is back with the target.
                let milestone = match milestone {
                    Milestone::FunctionRecovered if !strike.trouble.needs_backup() => {
                        Milestone::TargetRecovered
                    }
                    milestone => milestone,
                };
                !story.reached(&strike.server, milestone)
            };
            let strikes = run.all_strikes();
            let missing = strikes.iter().filter(lacks);
            let missing: Vec<&str> = missing.map(|strike| strike.server.as_str()).collect();
            Ok((!missing.is_empty()).then(|| {
                let last = story.last_words();
                format!(
                    "for {}; the last word of the logs: {last}",
                    missing.join(", ")
                )
            }))
        })
    }

    /// Reads on in the logs and tells the operator what matters.
    fn follow(&mut self) -> anyhow::Result<()> {
        let Some(follower) = &mut self.follower else {
            return Ok(());
        };
        for (server, entry) in follower.poll(self.site)? {
            match &entry.event {
                Event::Reboot { target } => self.site.shuts_down(target.as_str()),
                Event::JobUp { target } => self.site.is_up(target.as_str()),
                _ => {}
            }
            if !entry.is_routine() {
                let at = clock::display(entry.at);
                self.progress
                    .note(&format!("{at} {server:<6} {}", entry.event));
            }
        }
        Ok(())
    }

    fn unserved(&self) -> anyhow::Result<Option<String>> {
        for target in &self.targets {
            if let Some(reason) = client::unserved(self.site, target)? {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let state = RingState::look(self.site)?;
        self.looks.push((self.site.now(), state));
        Ok(())
    }

    fn read_settings(&mut self) -> anyhow::Result<()> {
        let settings = site::settings(self.site)?;
        if settings.profile != self.experiment.profile {
            bail!(
                "the cluster runs with profile {}, the experiment wants {}; prepare the lab anew \
                 with --fresh",
                settings.profile,
                self.experiment.profile
            );
        }
        // The same steps, with the times that are really in force.
        self.plan = Plan::new(self.experiment, &settings.timings, self.known);
        self.settings = Some(settings);
        Ok(())
    }

    fn machines(&self) -> Vec<String> {
        let servers = self.servers.iter().map(|server| server.name.clone());
        servers.chain([node::CLIENT.to_owned()]).collect()
    }

    fn collect(&mut self, dir: &mut RunDir, folder: &str) {
        let began = self.site.now();
        let phase = self
            .plan
            .find(Step::Collected)
            .map(|(index, phase)| (index, phase.clone()));
        if let Some((index, phase)) = &phase {
            self.progress.begin(*index, phase);
        }
        if !self.stages.is_empty() {
            // For a run that failed: what the logs said last, and how it looks now.
            if let Err(error) = self.follow().and_then(|()| self.look()) {
                dir.lacks(format!("a last look at the ring: {error:#}"));
            }
        }
        let mut names = self.machines();
        names.extend([node::FILE1, node::FILE2].map(str::to_owned));
        names.retain(|name| self.site.answers(name));
        self.clocks[1] = Clocks::read(self.site, names.iter().map(String::as_str));
        let targets = self.targets.clone();
        for target in &targets {
            if let Err(error) = client::stop(self.site, target) {
                dir.lacks(format!(
                    "the end of the client's accesses to {target}: {error:#}"
                ));
            }
        }
        if self.experiment.until == Until::Function {
            // Servers that still recover would be slow to hand out anything.
            for server in self.servers.iter().filter(|s| names.contains(&s.name)) {
                // One that is just starting has nothing to end.
                let _ = self.site.start(&server.name, &atrest::REST);
            }
        }
        let accesses: Vec<(String, String)> = targets
            .iter()
            .map(|target| (target.clone(), client::log_path(target)))
            .collect();
        collect::everything(self.site, dir, folder, &accesses, &names);
        if let Some((_, phase)) = &phase {
            self.progress
                .end(phase, self.site.now().saturating_sub(began));
        }
    }
}
