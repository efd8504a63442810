use super::*;

/// The path of a run of two threads with these numbers of steps; `choose` picks the next thread.
fn play(steps: [u8; 2], mut choose: impl FnMut(usize) -> u8) -> Vec<Taken> {
    let (mut left, mut path) = (steps, Vec::new());
    while left[0] > 0 && left[1] > 0 {
        let taken = choose(path.len());
        path.push((taken, 2));
        left[usize::from(taken)] -= 1;
    }
    path
}

#[test]
fn a_run_without_alternatives_is_all_there_is() {
    let mut tree = Tree::default();
    assert!(!tree.is_done());
    assert_eq!(tree.unseen(9), [Arc::from([])]);
    tree.add(&[]).unwrap();
    assert!(tree.is_done() && tree.unseen(9).is_empty());
}

/// Following the branches that no run has taken reaches every interleaving once, and then ends.
#[test]
fn unseen_branches_lead_to_every_run_once() {
    let mut tree = Tree::default();
    let mut seen = std::collections::BTreeSet::new();
    while !tree.is_done() {
        for way in tree.unseen(5) {
            let path = play([4, 5], |at| way.get(at).copied().unwrap_or(at as u8 % 2));
            assert!(seen.insert(path.clone()), "{path:?} a second time");
            tree.add(&path).unwrap();
        }
    }
    // 9 over 4.
    assert_eq!(seen.len(), 126);
    assert!(tree.nodes.len() < 60, "{} nodes are kept", tree.nodes.len());
    assert_eq!(tree.free.len(), tree.nodes.len());
}

#[test]
fn it_is_done_when_and_only_when_all_runs_were_made() {
    let all: Vec<_> = (0u32..64).map(|bits| play([3, 3], |at| (bits >> at & 1) as u8)).collect();
    let different: std::collections::BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(different.len(), 20);
    for missing in &different {
        let mut tree = Tree::default();
        for path in all.iter().filter(|path| *path != missing) {
            tree.add(path).unwrap();
        }
        assert!(!tree.is_done(), "without {missing:?}");
        tree.add(missing).unwrap();
        assert!(tree.is_done());
        // Adding the path again changes nothing.
        tree.add(missing).unwrap();
        assert!(tree.is_done());
    }
}

#[test]
fn what_does_not_fit_is_noticed() {
    let mut tree = Tree::default();
    tree.add(&[(0, 2), (1, 2)]).unwrap();
    assert_eq!(tree.add(&[(0, 3)]), Err(Unknown));
    assert_eq!(tree.add(&[(0, 2)]), Err(Unknown));
    assert_eq!(tree.add(&[(2, 2)]), Err(Unknown));
    let mut full = Tree { most: 2, ..Tree::default() };
    assert_eq!(full.add(&[(0, 2), (0, 2), (0, 2)]), Err(Unknown));
}
