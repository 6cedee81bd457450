//! The pages of the metrics server, asked over the loopback device.

use std::time::Duration;

use fairlead_core::address::Family;

use super::*;
use crate::http::client::{Heard, Loopback};

pub(in crate::http) fn pages() -> Pages {
    Pages {
        mode: "nftables",
        metrics: Arc::new(|| Ok("up 1\n".to_owned())),
        configz: Arc::new(|| Configz {
            effective: json!({"kind": "KubeProxyConfiguration", "mode": "nftables"}),
            restart_needed: None,
        }),
        flags: Arc::new([("v".to_owned(), "2".to_owned())].into()),
        profiling: false,
        flagz: true,
        statusz: true,
        started: Moment::now(),
    }
}

fn server(pages: &Pages) -> Loopback {
    let health = Health::new(Duration::from_mins(1));
    health.started(&Family::BOTH);
    Loopback::serve(router(pages, &health).expect("a router"), 8)
}

fn is_text(heard: &Heard) -> bool {
    heard.has("Content-Type: text/plain; charset=utf-8")
        && heard.has("X-Content-Type-Options: nosniff")
}

#[test]
fn metrics_are_what_they_are_given() {
    let metrics = server(&pages()).get("/metrics");
    assert_eq!((metrics.status, &*metrics.body), (200, "up 1\n"));
    assert!(
        metrics.has("Content-Type: text/plain; version=0.0.4"),
        "{metrics:?}"
    );
    let failing = Pages {
        metrics: Arc::new(|| Err("two of a kind".to_owned())),
        ..pages()
    };
    let failed = server(&failing).get("/metrics");
    assert_eq!(
        (failed.status, &*failed.body),
        (500, "no metrics: two of a kind\n")
    );
}

#[test]
fn healthz_is_a_ping_that_is_counted_until_it_is_reset() {
    let server = server(&pages());
    assert_eq!(server.get("/metrics/slis").body, "");
    let ping = server.get("/healthz");
    assert_eq!((ping.status, &*ping.body), (200, "ok"));
    assert!(is_text(&ping));
    let verbose = server.get("/healthz?verbose").body;
    assert_eq!(verbose, "[+]ping ok\nhealthz check passed\n");
    let levels = server.get("/metrics/slis");
    assert!(levels.has("Content-Type: text/plain; version=0.0.4"));
    assert_eq!(
        levels.body,
        "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.\n\
         # TYPE kubernetes_healthcheck gauge\n\
         kubernetes_healthcheck{name=\"ping\",type=\"healthz\"} 1\n\
         # HELP kubernetes_healthchecks_total [STABLE] This metric records the results of all healthcheck.\n\
         # TYPE kubernetes_healthchecks_total counter\n\
         kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"healthz\"} 2\n"
    );
    let reset = server.ask("DELETE", "/metrics/slis", &[], "");
    assert_eq!((reset.status, &*reset.body), (200, "metrics reset\n"));
    assert_eq!(server.get("/metrics/slis").body, "");
}

#[test]
fn the_mode_is_told_in_one_word() {
    let mode = server(&pages()).get("/proxyMode");
    assert_eq!((mode.status, &*mode.body), (200, "nftables"));
    assert!(is_text(&mode));
}

#[test]
fn the_configuration_is_told_and_what_waits_for_a_restart() {
    let config = server(&pages()).get("/configz");
    assert_eq!(config.status, 200);
    assert!(config.has("Content-Type: application/json"));
    assert_eq!(
        config.body,
        r#"{"kubeproxy.config.k8s.io":{"kind":"KubeProxyConfiguration","mode":"nftables"}}"#
    );
    let waiting = Pages {
        configz: Arc::new(|| Configz {
            effective: json!({}),
            restart_needed: Some(json!({"mode": "iptables"})),
        }),
        ..pages()
    };
    let body: Value = serde_json::from_str(&server(&waiting).get("/configz").body).expect("JSON");
    let expected = json!({
        "kubeproxy.config.k8s.io": {}, "fairlead.restartNeeded": {"mode": "iptables"},
    });
    assert_eq!(body, expected);
}

#[test]
fn statusz_names_exactly_the_pages_that_are_there() {
    for profiling in [false, true] {
        let server = server(&Pages {
            profiling,
            ..pages()
        });
        let page = server.get("/statusz").body;
        let paths = page
            .lines()
            .find_map(|line| line.strip_prefix("Paths: "))
            .expect("paths");
        let all = match profiling {
            true => "/configz /debug /flagz /healthz /metrics /proxyMode /statusz",
            false => "/configz /flagz /healthz /metrics /proxyMode /statusz",
        };
        assert_eq!(paths, all);
        for path in paths.split(' ').filter(|path| *path != "/debug") {
            assert_eq!(server.get(path).status, 200, "{path}");
        }
    }
}

#[test]
fn pages_of_features_that_are_off_are_not_there() {
    let server = server(&Pages {
        flagz: false,
        ..pages()
    });
    assert_eq!(server.get("/flagz").status, 404);
    let status = server.get("/statusz").body;
    assert!(
        status.contains("Paths: /configz /healthz /metrics"),
        "{status}"
    );
    let server = self::server(&Pages {
        statusz: false,
        ..pages()
    });
    let found = ["/flagz", "/statusz"].map(|path| server.get(path).status);
    assert_eq!(found, [200, 404]);
}

#[test]
fn other_pages_are_not_there() {
    let server = server(&pages());
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/debug/flags/v",
        "/debug/pprof/",
        "/metrics/",
    ] {
        let missing = server.get(path);
        assert_eq!(
            (missing.status, &*missing.body),
            (404, "404 page not found\n"),
            "{path}"
        );
    }
}

#[test]
fn who_wants_a_profile_is_told_where_to_look() {
    let server = server(&Pages {
        profiling: true,
        ..pages()
    });
    for path in ["/debug/pprof", "/debug/pprof/", "/debug/pprof/heap"] {
        let missing = server.get(path);
        assert_eq!(missing.status, 404, "{path}");
        assert!(
            missing.body.contains("pprof is a part of Go programs"),
            "{missing:?}"
        );
    }
}

#[test]
fn the_verbosity_is_set_in_klogs_words() {
    // No log is started in tests, so that a number is the only thing that is wrong.
    let server = server(&Pages {
        profiling: true,
        ..pages()
    });
    let put = |body: &str| server.ask("PUT", "/debug/flags/v", &[], body);
    let told = put("many");
    assert_eq!(
        (told.status, &*told.body),
        (
            400,
            "failed set klog.logging.verbosity many: strconv.ParseInt: parsing \"many\": invalid syntax\n"
        )
    );
    assert!(told.has("Content-Type: text/plain") && told.has("X-Content-Type-Options: nosniff"));
    let told = put("9999999999").body;
    assert!(
        told.ends_with(": parsing \"9999999999\": value out of range\n"),
        "{told}"
    );
    let get = server.get("/debug/flags/v");
    assert_eq!((get.status, &*get.body), (406, "unsupported http method\n"));
    let long = put(&"1".repeat(1000));
    assert_eq!(long.status, 413);
}
