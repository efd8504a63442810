use super::*;

#[test]
fn uses_add_up() {
    let mut console = ConsoleUse::default();
    console.count(Instant::now().checked_sub(Duration::from_secs(1)).unwrap());
    console.count(Instant::now());
    assert_eq!(console.exits, 2);
    let mut all = ConsoleUse { exits: 1, time: Duration::from_secs(1) };
    all.add(&console);
    assert!(all.exits == 3 && all.time >= Duration::from_secs(2));
}
