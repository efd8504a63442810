use super::*;
use crate::campaign::testing;

#[test]
fn shards_share_the_runs() {
    for of in 1..=9 {
        let shards: Vec<Shard> =
            (1..=of).map(|number| format!("{number}/{of}").parse().unwrap()).collect();
        for runs in 0..40 {
            assert_eq!(shards.iter().map(|shard| shard.share(runs)).sum::<u64>(), runs);
            for shard in &shards {
                let has = (shard.first()..runs).step_by(shard.step() as usize).count() as u64;
                assert_eq!(has, shard.share(runs), "{shard} of {runs}");
            }
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

#[test]
fn a_campaign_is_known_again_in_another_folder() {
    let of = |folder: &str, hash: &str| {
        let image = |name: String, hash: &str| Image { name, hash: hash.into() };
        let images = vec![
            image(format!("{folder}/g.elf"), hash),
            image(format!("{folder}/hello"), "4"),
            image("hello".into(), "2"),
        ];
        Description { file: format!("{folder}/x.toml"), images, ..testing::description(3) }
    };
    assert_eq!(of("/a", "1").difference(&of("/a", "1")), None);
    assert_eq!(of("/a", "1").difference(&of("/b/c", "1")), None);
    let difference = of("/a", "1").difference(&of("/b", "3")).unwrap();
    assert!(difference.contains("/a/g.elf has changed: XXH64 was 1, now it is 3"), "{difference}");
    let without = Description { images: Vec::new(), ..of("/a", "1") };
    assert!(of("/a", "1").difference(&without).unwrap().contains("is not among its files"));
    let mut pieces = ImageHash::default();
    pieces.add(b"one, ");
    pieces.add(b"two. ");
    assert_eq!(pieces.image("x".into()).hash, crate::finding::image_hash(b"one, two. "));
    let more = testing::description(4);
    assert!(testing::description(3).difference(&more).unwrap().contains("cells"));
}
