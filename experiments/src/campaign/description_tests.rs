use super::*;

#[test]
fn shards_share_the_runs() {
    for of in 1..=9 {
        let shards: Vec<Shard> =
            (1..=of).map(|number| format!("{number}/{of}").parse().unwrap()).collect();
        for runs in 0..40 {
            assert_eq!(shards.iter().map(|shard| shard.share(runs)).sum::<u64>(), runs);
            for shard in &shards {
                let has = (0..runs).filter(|run| shard.has(*run)).count() as u64;
                assert_eq!(has, shard.share(runs), "{shard} of {runs}");
            }
            assert_eq!(shards.iter().filter(|shard| shard.has(runs)).count(), 1);
        }
    }
}

#[test]
fn wrong_shards_are_refused() {
    for text in ["", "1", "0/2", "3/2", "1/0", "a/b", "1/9999999", "-1/2"] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
    assert!(!Shard::ALL.is_part() && "2/3".parse::<Shard>().unwrap().is_part());
}
