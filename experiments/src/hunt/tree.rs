//! Which decisions runs have made: whether all there are have been.
//!
//! A run is a function of its choices, so the choices of all possible runs make up a tree: a node is
//! a scheduling point that has an alternative, its branches are what can be chosen there, a leaf is
//! the end of a run. A branch below which every leaf has been reached is done, and its nodes are
//! forgotten. When the root is done, every interleaving there is has been run, and that is proven.

use std::sync::Arc;

/// The most nodes: 16 to 24 MiB of them. A guest with more than a few accesses has more
/// interleavings than anybody can run.
const MAX_NODES: usize = 200_000;

/// A choice of a run at a point that had an alternative: which one, of how many.
pub(super) type Taken = (u8, u8);

/// A branch: a node's number, or one of these.
type Branch = u32;
/// No run has been here.
const UNSEEN: Branch = u32::MAX;
/// All that is below has been run.
const DONE: Branch = u32::MAX - 1;

/// A branch's place: the node that it belongs to, and its number there; none for the root.
type Place = Option<(u32, u8)>;

#[derive(Debug)]
struct Node {
    place: Place,
    branches: Box<[Branch]>,
}

/// The decisions of all runs so far.
#[derive(Debug)]
pub(super) struct Tree {
    root: Branch,
    nodes: Vec<Node>,
    /// Nodes that are used again.
    free: Vec<u32>,
    most: usize,
}

/// A run doesn't fit what others have shown, or there are too many nodes: nothing can be told any
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

impl Default for Tree {
    fn default() -> Self {
        Self { root: UNSEEN, nodes: Vec::new(), free: Vec::new(), most: MAX_NODES }
    }
}

impl Tree {
    /// Whether there is no other run.
    pub(super) fn is_done(&self) -> bool {
        self.root == DONE
    }

    /// A run made these choices and came to its end.
    pub(super) fn add(&mut self, path: &[Taken]) -> Result<(), Unknown> {
        let (mut place, mut at) = (None, self.root);
        for &(taken, of) in path {
            let node = match at {
                DONE => return Ok(()),
                UNSEEN => {
                    let node = self.new_node(place, of)?;
                    self.set(place, node);
                    node
                }
                node => node,
            };
            let branches = &self.nodes[node as usize].branches;
            if branches.len() != usize::from(of) {
                return Err(Unknown);
            }
            place = Some((node, taken));
            at = *branches.get(usize::from(taken)).ok_or(Unknown)?;
        }
        match at {
            DONE => Ok(()),
            UNSEEN => {
                self.finish(place);
                Ok(())
            }
            // Another run went on here.
            _ => Err(Unknown),
        }
    }

    /// The ways to the first branches that no run has taken, at most so many.
    pub(super) fn unseen(&self, most: usize) -> Vec<Arc<[u8]>> {
        let mut found = Vec::new();
        match self.root {
            DONE => {}
            UNSEEN => found.push(Arc::from([])),
            root => {
                // The nodes on the way down, and the branch of each that is next.
                let mut way = vec![(root, 0u8)];
                while let Some((node, next)) = way.last_mut() {
                    let branch = self.nodes[*node as usize].branches.get(usize::from(*next));
                    match branch.copied() {
                        None => {
                            way.pop();
                            if let Some((_, next)) = way.last_mut() {
                                *next += 1;
                            }
                        }
                        Some(DONE) => *next += 1,
                        Some(UNSEEN) => {
                            found.push(way.iter().map(|(_, taken)| *taken).collect());
                            if found.len() == most {
                                break;
                            }
                            if let Some((_, next)) = way.last_mut() {
                                *next += 1;
                            }
                        }
                        Some(below) => way.push((below, 0)),
                    }
                }
            }
        }
        found.truncate(most);
        found
    }

    fn new_node(&mut self, place: Place, of: u8) -> Result<u32, Unknown> {
        let node = Node { place, branches: vec![UNSEEN; of.into()].into() };
        if let Some(number) = self.free.pop() {
            self.nodes[number as usize] = node;
            return Ok(number);
        }
        if self.nodes.len() == self.most {
            return Err(Unknown);
        }
        self.nodes.push(node);
        Ok(self.nodes.len() as u32 - 1)
    }

    fn set(&mut self, place: Place, branch: Branch) {
        match place {
            None => self.root = branch,
            Some((node, number)) => {
                self.nodes[node as usize].branches[usize::from(number)] = branch;
            }
        }
    }

    /// All that is below this branch has been run, and so it may be for those above.
    fn finish(&mut self, mut place: Place) {
        self.set(place, DONE);
        while let Some((node, _)) = place {
            let done = &self.nodes[node as usize];
            if done.branches.iter().any(|branch| *branch != DONE) {
                return;
            }
            place = done.place;
            self.free.push(node);
            self.set(place, DONE);
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
