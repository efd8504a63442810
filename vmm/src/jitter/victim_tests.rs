use super::*;

fn elections(vcpu: u32) -> Elections {
    Elections::new("1ms..10ms".parse().unwrap(), Draw::new(3, 99), vcpu, 4)
}

#[test]
fn all_vcpus_see_the_same_elections_and_take_turns() {
    let mut all: Vec<_> = (0..4).map(elections).collect();
    let mut first = [0; 4];
    for _ in 0..400 {
        let mut turns: Vec<_> = all.iter_mut().map(Elections::next).collect();
        let earliest = turns.iter().min().unwrap();
        first[turns.iter().position(|turn| turn == earliest).unwrap()] += 1;
        turns.sort_unstable();
        assert!(turns.windows(2).all(|pair| pair[0] + VICTIM_INTERVAL == pair[1]), "{turns:?}");
    }
    assert!(
        first.iter().all(|count| (60..140).contains(count)),
        "everybody is first at times: {first:?}"
    );
}

#[test]
fn what_is_past_is_skipped() {
    let now = Duration::from_secs(5);
    assert!(elections(0).next_turn(now) > now);
}

#[test]
fn there_is_one_victim_at_a_time() {
    let victim = Victim::default();
    assert!(victim.claim(2));
    assert!(!victim.claim(3) && !victim.clone().claim(2));
    victim.release();
    assert!(victim.claim(0));
}
