//! Passes standard input to the guest's console.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use devices::device::Wiring;
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use nix::errno::Errno;
use vmm_sys_util::timerfd::TimerFd;

use super::Keys;
use super::control::{Control, broken};
use crate::board::Board;
use crate::error::Result;
use crate::kvm::KvmIrqchip;

/// How long to wait before offering the guest again the bytes that its FIFO had no space for.
const RETRY: Duration = Duration::from_millis(5);
/// The maximum number of bytes that are read ahead of the guest.
const READ_AHEAD: usize = 4096;
/// The maximum number of typed bytes that wait for the guest, if some keys are not for the guest:
/// those must be seen, so reading goes on, and bytes that come then are dropped.
const TYPED_AHEAD: usize = 1 << 20;

/// Reads standard input only when the guest has taken the bytes read before, so that nothing is
/// lost and nothing accumulates. With [`Keys`], what is typed is read at once.
pub(super) struct Input<'a> {
    control: &'a Control,
    board: &'a Board,
    irqchip: KvmIrqchip,
    keys: Option<&'a dyn Keys>,
    stdin: io::Stdin,
    waiting: VecDeque<u8>,
    retry: TimerFd,
    state: State,
    /// Whether more input may come.
    open: Rc<Cell<bool>>,
    /// Whether the user knows that bytes are dropped.
    told: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// Waiting for input by epoll.
    Listening,
    /// Waiting for the guest to take the bytes that were read.
    Full,
    /// A regular file, which epoll refuses: it is read whenever the guest has taken everything.
    File,
    /// At the end of the input.
    Closed,
}

impl<'a> Input<'a> {
    pub(super) fn new(
        control: &'a Control,
        board: &'a Board,
        irqchip: KvmIrqchip,
        open: Rc<Cell<bool>>,
        keys: Option<&'a dyn Keys>,
    ) -> Result<Self> {
        Ok(Self {
            control,
            board,
            irqchip,
            keys,
            stdin: io::stdin(),
            waiting: VecDeque::new(),
            retry: TimerFd::new().map_err(|errno| broken(errno.into()))?,
            state: State::Listening,
            open,
            told: false,
        })
    }

    /// Reads the input that is available now.
    fn read(&mut self) {
        let mut buffer = [0; READ_AHEAD];
        match nix::unistd::read(&self.stdin, &mut buffer) {
            // This is called again when there is input, or after the next retry.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(0) | Err(_) => {
                self.state = State::Closed;
                self.open.set(false);
            }
            Ok(length) => match self.keys {
                Some(keys) => self.type_in(keys, &buffer[..length]),
                None => self.waiting.extend(&buffer[..length]),
            },
        }
    }

    /// Takes what was typed, as far as it is for the guest and there is room.
    fn type_in(&mut self, keys: &dyn Keys, typed: &[u8]) {
        let unread = !self.waiting.is_empty() || self.board.has_unread_input();
        let mut bytes = keys.pass(typed, unread);
        let room = TYPED_AHEAD - self.waiting.len();
        if bytes.len() > room && !self.told {
            tracing::warn!("the guest leaves {TYPED_AHEAD} typed bytes unread: more are dropped");
            self.told = true;
        }
        bytes.truncate(room);
        self.waiting.extend(bytes);
    }

    /// Gives the guest as many bytes as it takes.
    fn pass_on(&mut self) {
        let mut wiring = Wiring { clock: self.control, controller: &mut self.irqchip };
        while !self.waiting.is_empty() {
            match self.board.send(self.waiting.make_contiguous(), &mut wiring) {
                Ok(0) | Err(_) => break,
                Ok(taken) => drop(self.waiting.drain(..taken)),
            }
        }
    }

    /// Listens for input only while no bytes wait for the guest, unless there are keys to see.
    fn update_events(&mut self, before: State, ops: &mut EventOps) {
        let stdin = Events::new(&self.stdin, EventSet::IN);
        let full = !self.waiting.is_empty();
        match (before, self.state, full) {
            (State::Listening, State::Closed, _) => drop(ops.remove(stdin)),
            (_, State::Listening, true) if self.keys.is_none() => {
                let _ = ops.remove(stdin);
                self.state = State::Full;
            }
            (_, State::Full, false) if ops.add(stdin).is_ok() => self.state = State::Listening,
            _ => {}
        }
        if full || self.state == State::File {
            let _ = self.retry.reset(RETRY, None);
        }
    }
}

impl MutEventSubscriber for Input<'_> {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        let before = self.state;
        let retry = events.fd() == self.retry.as_raw_fd();
        if retry {
            let _ = self.retry.wait();
        }
        if !retry || before == State::File && self.waiting.is_empty() {
            self.read();
        }
        self.pass_on();
        self.update_events(before, ops);
    }

    fn init(&mut self, ops: &mut EventOps) {
        let _ = ops.add(Events::new(&self.retry, EventSet::IN));
        if ops.add(Events::new(&self.stdin, EventSet::IN)).is_err() {
            self.state = State::File;
            let _ = self.retry.reset(RETRY, None);
        }
    }
}
