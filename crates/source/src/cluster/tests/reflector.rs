//! What is asked next, after what came back.

use std::time::{Duration, Instant};

use super::super::patience::Pauses;
use super::super::reflector::{Ask, End, Mark, Page, Reaction, Reflector};

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_mins(4);

fn reflector() -> Reflector {
    Reflector::new(Pauses::default(), false)
}

fn refused(code: u16) -> End {
    End::Refused {
        code,
        retry_after: None,
        event: false,
    }
}

fn error_event(code: u16) -> End {
    End::Refused {
        code,
        retry_after: None,
        event: true,
    }
}

/// Milliseconds until the next request, by the least chance.
fn ended(reflector: &mut Reflector, end: End) -> u128 {
    reflector.ended(end, Instant::now(), 0.0).as_millis()
}

fn ask(reflector: &mut Reflector) -> Ask {
    reflector.ask(Instant::now()).0
}

fn watch(revision: &str) -> Ask {
    Ask::Watch(revision.to_owned())
}

/// One that watches from this version.
fn watching(revision: &str) -> Reflector {
    let mut reflector = reflector();
    assert_eq!(reflector.ask(Instant::now()), (Ask::Stream, true));
    let end = true;
    assert_eq!(
        reflector.event(Mark::Bookmark { revision, end }),
        Reaction::Complete
    );
    reflector
}

/// One whose server refused a streaming list.
fn paging() -> Reflector {
    let mut reflector = reflector();
    ask(&mut reflector);
    assert_eq!(ended(&mut reflector, refused(422)), 0);
    reflector
}

#[test]
fn a_streaming_list_goes_on_as_a_watch() {
    let mut reflector = watching("40");
    let revision = "42";
    assert_eq!(reflector.event(Mark::Object { revision }), Reaction::Go);
    assert_eq!(ended(&mut reflector, End::Over { lived: LONG }), 0);
    assert_eq!(reflector.ask(Instant::now()), (watch("42"), false));
    let (revision, end) = ("50", false);
    reflector.event(Mark::Bookmark { revision, end });
    assert_eq!(ended(&mut reflector, End::Broken { lived: LONG }), 0);
    assert_eq!(ask(&mut reflector), watch("50"));
}

#[test]
fn events_without_a_version_leave_the_known_one() {
    let mut reflector = watching("40");
    let revision = "";
    reflector.event(Mark::Object { revision });
    ended(&mut reflector, End::Over { lived: LONG });
    assert_eq!(ask(&mut reflector), watch("40"));
}

#[test]
fn a_refused_streaming_list_becomes_pages_and_is_remembered_for_an_hour() {
    for end in [refused(400), refused(403), refused(422), End::Ignored] {
        let (mut reflector, start) = (reflector(), Instant::now());
        reflector.ask(start);
        assert_eq!(reflector.ended(end, start, 0.0), Duration::ZERO);
        assert_eq!(reflector.ask(start), (Ask::Page(Page::First), true));
        assert!(reflector.page("7", ""));
        reflector.ended(refused(410), start, 0.0);
        let at = |minutes| start + Duration::from_mins(minutes);
        assert_eq!(reflector.ask(at(59)).0, Ask::Page(Page::First), "{end:?}");
        reflector.page("9", "");
        reflector.ended(refused(410), at(61), 0.0);
        assert_eq!(reflector.ask(at(61)), (Ask::Stream, true), "{end:?}");
    }
}

#[test]
fn who_may_not_even_list_is_not_taken_for_an_old_server() {
    let mut reflector = reflector();
    for pause in [800, 1600] {
        assert_eq!(ask(&mut reflector), Ask::Stream);
        assert_eq!(ended(&mut reflector, refused(403)), 0);
        assert_eq!(ask(&mut reflector), Ask::Page(Page::First));
        assert_eq!(ended(&mut reflector, refused(403)), pause);
    }
}

#[test]
fn a_server_that_ignores_the_parameters_is_found_out_by_its_first_bookmark() {
    let mut reflector = reflector();
    ask(&mut reflector);
    let (revision, end) = ("7", false);
    assert_eq!(reflector.event(Mark::Object { revision }), Reaction::Go);
    assert_eq!(
        reflector.event(Mark::Bookmark { revision, end }),
        Reaction::Ignored
    );
}

#[test]
fn streaming_lists_that_keep_breaking_off_become_pages() {
    let mut reflector = reflector();
    let lived = LONG;
    for _ in 0..3 {
        assert_eq!(reflector.ask(Instant::now()), (Ask::Stream, true));
        assert!(ended(&mut reflector, End::Broken { lived }) > 0);
    }
    assert_eq!(ask(&mut reflector), Ask::Page(Page::First));
}

#[test]
fn a_server_that_is_away_or_busy_is_not_taken_for_an_old_one() {
    let mut reflector = reflector();
    for code in [401, 429, 500, 503, 404] {
        assert_eq!(ask(&mut reflector), Ask::Stream);
        assert!(ended(&mut reflector, refused(code)) > 0, "{code}");
    }
    assert_eq!(ask(&mut reflector), Ask::Stream);
}

#[test]
fn pages_follow_their_tokens_and_the_last_is_followed_by_a_watch() {
    let mut reflector = paging();
    assert_eq!(
        reflector.ask(Instant::now()),
        (Ask::Page(Page::First), true)
    );
    assert!(!reflector.page("7", "two"));
    let next = || Ask::Page(Page::Next("two".to_owned()));
    assert_eq!(reflector.ask(Instant::now()), (next(), false));
    // What breaks off in between does not lose the pages before it.
    assert_eq!(ended(&mut reflector, End::Broken { lived: SHORT }), 800);
    assert_eq!(reflector.ask(Instant::now()), (next(), false));
    assert_eq!(ended(&mut reflector, refused(500)), 1600);
    assert_eq!(ask(&mut reflector), next());
    assert!(reflector.page("7", ""));
    assert_eq!(ask(&mut reflector), watch("7"));
}

#[test]
fn an_expired_token_leads_to_a_whole_list_and_not_to_a_loop() {
    let mut reflector = paging();
    ask(&mut reflector);
    reflector.page("7", "two");
    assert_eq!(ended(&mut reflector, refused(410)), 800);
    assert_eq!(
        reflector.ask(Instant::now()),
        (Ask::Page(Page::Whole), true)
    );
    assert!(reflector.page("9", ""));
    assert_eq!(ended(&mut reflector, refused(410)), 1600);
    assert_eq!(
        ask(&mut reflector),
        Ask::Page(Page::First),
        "the next may be long after"
    );
}

#[test]
fn what_a_watch_cannot_mend_is_mended_by_a_list_after_a_pause() {
    let ends = [
        refused(410),
        error_event(410),
        error_event(500),
        refused(400),
        refused(504),
    ];
    for end in ends {
        let mut reflector = watching("40");
        assert_eq!(ended(&mut reflector, end), 800, "{end:?}");
        assert_eq!(
            reflector.ask(Instant::now()),
            (Ask::Stream, true),
            "{end:?}"
        );
    }
}

#[test]
fn a_watch_that_is_refused_for_now_is_asked_for_again_from_where_it_was() {
    for code in [401, 403, 404, 429, 500, 502, 503] {
        let mut reflector = watching("40");
        assert_eq!(ended(&mut reflector, refused(code)), 800);
        assert_eq!(
            reflector.ask(Instant::now()),
            (watch("40"), false),
            "{code}"
        );
    }
}

#[test]
fn watches_that_end_at_once_are_not_asked_for_in_a_loop() {
    let mut reflector = watching("40");
    let mut pauses = Vec::new();
    for lived in [SHORT, SHORT, SHORT] {
        pauses.push(ended(&mut reflector, End::Over { lived }));
        ask(&mut reflector);
    }
    // Not long enough to prove anything, and nothing went wrong.
    let lived = Duration::from_secs(20);
    pauses.push(ended(&mut reflector, End::Over { lived }));
    pauses.push(ended(&mut reflector, End::Over { lived: SHORT }));
    pauses.push(ended(&mut reflector, End::Over { lived: LONG }));
    pauses.push(ended(&mut reflector, End::Broken { lived: SHORT }));
    assert_eq!(pauses, [800, 1600, 3200, 0, 6400, 0, 800]);
}

#[test]
fn the_server_says_when_to_come_back() {
    for event in [false, true] {
        let mut reflector = watching("40");
        let end = End::Refused {
            code: 429,
            retry_after: Some(Duration::from_secs(9)),
            event,
        };
        assert_eq!(ended(&mut reflector, end), 9000);
    }
}

#[test]
fn a_kind_that_the_server_may_do_without_is_asked_for_rarely() {
    let mut reflector = Reflector::new(Pauses::default(), true);
    for _ in 0..5 {
        assert_eq!(ask(&mut reflector), Ask::Stream);
        assert_eq!(ended(&mut reflector, refused(404)), 600_000);
    }
}
