//! A run as one picture: every server a lane, modes as bars, messages as arrows, the VIP as a
//! coloured line where it is held, the client's OK and XX at the foot.

mod axis;
mod draw;
pub(in crate::report) mod look;
mod model;
mod read;

pub use model::{Lane, Scene};

/// Draws a run as a self-contained SVG file.
#[must_use]
pub fn svg(scene: &Scene<'_>) -> String {
    draw::draw(scene, &model::Model::of(scene))
}

#[cfg(test)]
pub(in crate::report) mod tests {
    use super::model::Model;
    use super::*;
    use crate::report::access;
    use crate::report::clock;
    use crate::report::owners::{Owners, Stay};
    use crate::report::story::tests::{REFERENCE, story};
    use ringward::cluster::Mac;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn at(text: &str) -> Duration {
        clock::nearest(clock::time_of_day(text).unwrap(), REFERENCE)
    }

    pub(in crate::report) fn with_scene<T>(draw: impl FnOnce(&Scene<'_>) -> T) -> T {
        let names = ["mail", "web1", "ftp", "web2", "proxy", "login"];
        let lane = |(name, last): (&str, u8)| Lane {
            name: name.to_owned(),
            vip: Ipv4Addr::new(172, 21, 14, 200 + last),
            mac: Mac([0, 0, 0, 0, 0, last]),
        };
        let lanes: Vec<Lane> = names.into_iter().zip(1..).map(lane).collect();
        let stay = |mac, from, until| Stay {
            mac,
            from: at(from),
            until: at(until),
            claims: 9,
        };
        let backup = Mac([0, 0, 0, 0, 1, 3]);
        let stays = vec![
            stay(lanes[2].mac, "12:53:30.00", "12:53:45.30"),
            stay(backup, "12:53:59.22", "12:56:19.80"),
            stay(lanes[2].mac, "12:56:19.96", "12:56:30.00"),
        ];
        let owners = Owners {
            stays: [(lanes[2].vip, stays)].into(),
        };
        let mut log = String::new();
        for ms in (0..180_000).step_by(100) {
            let now = at("12:53:35.00") + Duration::from_millis(ms);
            let out = now > at("12:53:45.41") && now < at("12:53:59.56");
            log.push_str(&format!(
                "{} {}\n",
                clock::display(now),
                if out { "XX" } else { "OK" }
            ));
        }
        let accesses = [("ftp".to_owned(), access::parse(&log, REFERENCE))];
        draw(&Scene {
            title: "Network trouble: the FTP server is shut down",
            what: "ftp: shut down",
            struck: at("12:53:45.00"),
            lanes: &lanes,
            targets: &["ftp".to_owned()],
            story: &story(),
            owners: Some(&owners),
            accesses: &accesses,
        })
    }

    #[test]
    fn the_papers_own_run_as_bars_arrows_and_stays() {
        let text = with_scene(|scene| {
            let model = Model::of(scene);
            let mut text = String::new();
            let name = |lane: usize| scene.lanes[lane].name.clone();
            for bar in &model.bars {
                let (lane, kind) = (name(bar.lane), format!("{:?}", bar.kind));
                text += &format!(
                    "{lane:5} {kind:8} {:7.2} {:7.2} {}\n",
                    bar.from, bar.to, bar.label
                );
            }
            for arrow in &model.arrows {
                let (from, to) = (name(arrow.from), name(arrow.to));
                text += &format!(
                    "{} {from} {:.2} -> {to} {:.2}\n",
                    arrow.label, arrow.sent, arrow.received
                );
            }
            for held in &model.held {
                text += &format!(
                    "VIP on {:5} {:7.2} {:7.2}\n",
                    name(held.lane),
                    held.from,
                    held.to
                );
            }
            for mark in &model.marks {
                text += &format!("{} {:.2}\n", mark.label, mark.at);
            }
            text
        });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_picture_is_whole_and_loads_nothing() {
        let svg = with_scene(svg);
        if let Some(path) = std::env::var_os("RINGWARD_TIMELINE_SAMPLE") {
            std::fs::write(path, &svg).unwrap();
        }
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for part in [
            "function recovered 14.2 s",
            "VIP of ftp",
            "XX  14.",
            "79 s without events",
        ] {
            assert!(svg.contains(part), "{part}");
        }
        let links = svg.matches("http").count() - svg.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(links, 0);
        let opened = svg.matches('<').count() - svg.matches("</").count();
        assert_eq!(
            opened,
            svg.matches("/>").count() + svg.matches("</").count()
        );
    }
}
