use super::*;

const AT: u64 = 0x5000;

/// Stores to this range, at the same linear and physical address.
fn stores(range: Range<u64>) -> Watch {
    let linear = Some(range.start);
    Watch { physical: range, linear, loads: false, stores: true, values: Values::Unused }
}

/// The places and lengths of the watchpoints for the watches.
fn places(watches: &[Watch]) -> Vec<(u64, u64)> {
    let found = watchpoints(watches, 2, 0).unwrap();
    found.iter().map(|one| (one.linear, one.length.bytes())).collect()
}

fn refusal(watches: &[Watch], vcpus: u32, stops: usize) -> String {
    watchpoints(watches, vcpus, stops).unwrap_err()
}

#[test]
fn each_byte_is_covered_once_and_no_other() {
    assert_eq!(places(&[stores(AT..AT + 8)]), [(AT, 8)]);
    assert_eq!(places(&[stores(AT + 4..AT + 8)]), [(AT + 4, 4)]);
    assert_eq!(places(&[stores(AT + 3..AT + 9)]), [(AT + 3, 1), (AT + 4, 4), (AT + 8, 1)]);
    assert_eq!(places(&[stores(AT..AT + 32)]).len(), 4);
    assert!(refusal(&[stores(AT..AT + 33)], 1, 0).contains("33 bytes are more than 4"));
    assert!(refusal(&[stores(AT + 1..AT + 32)], 1, 0).contains("6 debug registers are needed"));
}

#[test]
fn both_addresses_are_watched_where_they_differ() {
    let high = 0xffff_ffff_8000_5000;
    let watch = Watch { linear: Some(high), ..stores(AT..AT + 8) };
    assert_eq!(places(std::slice::from_ref(&watch)), [(high, 8), (AT, 8)]);
    let found = watchpoints(&[watch], 1, 0).unwrap();
    assert!(found.iter().all(|one| one.physical == AT), "{found:?}");
}

/// With a watchpoint for stores beside it, a watchpoint for all accesses tells of loads.
#[test]
fn loads_and_stores_are_two_and_the_same_watch_twice_is_one() {
    let loads = Watch { loads: true, stores: false, ..stores(AT..AT + 4) };
    let both = [stores(AT..AT + 4), loads.clone(), loads];
    let found = watchpoints(&both, 2, 0).unwrap();
    assert_eq!(found.iter().map(|one| one.stores_only).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_value_that_could_be_another_s_is_not_promised() {
    let of = |values| [Watch { values, ..stores(AT..AT + 8) }];
    assert!(watchpoints(&of(Values::OfStores), 1, 0).is_ok());
    assert!(refusal(&of(Values::OfStores), 2, 0).contains("with one vCPU only"));
    assert!(refusal(&of(Values::All), 1, 0).contains("the value before a store"));
    let unknown = Watch { linear: None, ..stores(AT..AT + 8) };
    assert!(refusal(&[unknown], 1, 0).contains("linear address"));
}

#[test]
fn breakpoints_keep_their_debug_registers() {
    let two = [stores(AT..AT + 16)];
    assert_eq!(watchpoints(&two, 1, 2).unwrap().len(), 2);
    assert!(refusal(&two, 1, 3).contains("2 debug registers are needed, and 1 are left"));
    assert!(refusal(&two, 1, usize::MAX).contains("0 are left beside the breakpoints"));
}

#[test]
fn a_plan_says_what_is_not_seen_or_why_pages_are_trapped() {
    let watches = vec![stores(AT..AT + 8)];
    let plan = WatchPlan {
        watchpoints: watchpoints(&watches, 1, 0).unwrap(),
        watches: watches.clone(),
        ..WatchPlan::default()
    };
    let text = plan.to_string();
    assert!(text.contains("1 of 4 debug registers; accesses are seen only at 0x5000"), "{text}");
    assert!(plan.trapped().is_empty() && plan.watched() == watches && plan.why_pages().is_none());
    assert_eq!(WatchPlan::pages(Vec::new(), "so").why_pages(), None);
    assert_eq!(WatchPlan::growing(Vec::new(), "so").why_pages(), Some("so"));
    let plan = WatchPlan::pages(watches, "so");
    assert_eq!((plan.to_string().as_str(), plan.why_pages()), ("trapped pages: so", Some("so")));
    assert!(plan.watched().is_empty());
    assert_eq!(plan.trapped(), std::slice::from_ref(&(AT..AT + 8)));
}
