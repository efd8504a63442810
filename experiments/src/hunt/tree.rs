//! The decisions that runs have made, as a tree, which shows whether every interleaving has been
//! run.
//!
//! A run is a function of its choices, so the choices of all possible runs form a tree: a node is a
//! scheduling point that has an alternative, its branches are the choices possible there, and a
//! leaf is the end of a run. A branch below which every leaf has been reached is done, and its
//! nodes are forgotten. When the root is done, it is proven that every possible interleaving has
//! been run.

use std::sync::Arc;

/// The maximum number of nodes: 16 to 24 MiB of memory. A guest with more than a few accesses has
/// more interleavings than a search can ever run.
const MAX_NODES: usize = 200_000;

/// The choice of a run at a point that had an alternative: its number, and how many choices there
/// were.
pub(super) type Taken = (u8, u8);

/// What a branch leads to: a node's number, or one of the two values below.
type Branch = u32;
/// No run has taken this branch.
const UNSEEN: Branch = u32::MAX;
/// Every leaf below this branch has been reached.
const DONE: Branch = u32::MAX - 1;

/// A branch's place: the node that it belongs to, and its number there; `None` for the root.
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
    /// Nodes that can be used again.
    free: Vec<u32>,
    most: usize,
}

/// The tree can say nothing any more: a run contradicts the choices of earlier runs, or there are
/// too many nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

impl Default for Tree {
    fn default() -> Self {
        Self { root: UNSEEN, nodes: Vec::new(), free: Vec::new(), most: MAX_NODES }
    }
}

impl Tree {
    /// Whether every possible run has been made.
    pub(super) fn is_done(&self) -> bool {
        self.root == DONE
    }

    /// Adds the path of a run that reached its end.
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
            // An earlier run with the same choices went on here.
            _ => Err(Unknown),
        }
    }

    /// The paths to the first branches that no run has taken, at most `most` of them.
    pub(super) fn unseen(&self, most: usize) -> Vec<Arc<[u8]>> {
        let mut found = Vec::new();
        match self.root {
            DONE => {}
            UNSEEN => found.push(Arc::from([])),
            root => {
                // The nodes on the way down, and the next branch of each.
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

    /// Marks this branch as done, and each branch above it below which everything is now done.
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
