//! Answers the clients of the control socket, each on a thread of its own. Nothing that a client
//! does, or fails to do, keeps the run from going on.

use std::io::{self, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder};
use std::time::Duration;

use anyhow::{Context, Result};
use inspect::Monitor;
use inspect::monitor::{Command, Refusal};

use super::protocol::{self, Request};
use crate::socket::Socket;

/// The most clients at a time.
const MAX_CLIENTS: usize = 32;
/// The least time between two answers to a client, and between two stops of the machine: a client
/// that asks all the time must not keep the guest from running, nor a processor of the host busy.
const PACE: Duration = Duration::from_millis(10);
/// How long a client may leave its answer unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command waits for a machine: that of a run that has just been started, or the next of
/// several runs.
const MACHINE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the run waits for answers that are under way.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// The server, until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    _socket: Socket,
    clients: Arc<Clients>,
}

#[derive(Debug, Default)]
struct Clients {
    counts: Mutex<Counts>,
    answered: Condvar,
    /// Held while the machine is stopped for a client, and for a moment after that.
    stop: Mutex<()>,
}

#[derive(Debug, Default)]
struct Counts {
    clients: usize,
    /// Commands that are under way.
    busy: usize,
}

impl Server {
    /// Creates the socket and serves it.
    pub(crate) fn start(path: &Path, monitor: Monitor) -> Result<Self> {
        let socket = Socket::create("--ctl", path)?;
        let clients = Arc::new(Clients::default());
        let listener = socket.listener.try_clone().context("--ctl")?;
        let of_thread = clients.clone();
        let accept = move || accept(&listener, &monitor, &of_thread);
        Builder::new().name("ctl".into()).spawn(accept).context("--ctl: no thread for it")?;
        Ok(Self { _socket: socket, clients })
    }
}

impl Drop for Server {
    /// Lets clients have their answers, as `quit` should be answered. The threads of clients end
    /// with the program.
    fn drop(&mut self) {
        let counts = self.clients.counts();
        let timeout = END_TIMEOUT;
        let is_busy = |counts: &mut Counts| counts.busy > 0;
        drop(self.clients.answered.wait_timeout_while(counts, timeout, is_busy));
    }
}

impl Clients {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts clients for as long as the program runs.
fn accept(listener: &UnixListener, monitor: &Monitor, clients: &Arc<Clients>) {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // For example, the program has too many open files.
            thread::sleep(PACE);
            continue;
        };
        let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
        {
            let mut counts = clients.counts();
            if counts.clients == MAX_CLIENTS {
                drop(counts);
                let problem = format!("{MAX_CLIENTS} clients are connected: too many");
                let _ = send(&stream, Err(Refusal::Failed(problem)));
                continue;
            }
            counts.clients += 1;
        }
        let (monitor, of_thread) = (monitor.clone(), clients.clone());
        let serve = move || {
            if let Err(error) = serve(&stream, &monitor, &of_thread) {
                tracing::info!("control socket: a client: {error}");
            }
            of_thread.counts().clients -= 1;
        };
        if Builder::new().name("ctl client".into()).spawn(serve).is_err() {
            clients.counts().clients -= 1;
        }
    }
}

/// Answers a client until it goes or sends garbage.
fn serve(stream: &UnixStream, monitor: &Monitor, clients: &Clients) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    loop {
        let line = match protocol::read_request(&mut requests)? {
            Request::Line(line) => line,
            Request::Garbage(problem) => {
                return send(stream, Err(Refusal::Usage(problem.into())));
            }
            Request::End => return Ok(()),
        };
        let busy = Busy::begin(clients);
        let answer = Command::parse(&line).and_then(|command| {
            tracing::info!("control socket: {line:?}");
            let stop = command.stops_the_machine();
            let _one = stop.then(|| clients.stop.lock().unwrap_or_else(PoisonError::into_inner));
            if command != Command::Quit {
                monitor.wait_for_machine(MACHINE_TIMEOUT);
            }
            let answer = monitor.execute(&command);
            if stop {
                thread::sleep(PACE);
            }
            answer
        });
        send(stream, answer)?;
        drop(busy);
        thread::sleep(PACE);
    }
}

fn send(mut to: &UnixStream, answer: Result<String, Refusal>) -> io::Result<()> {
    to.write_all(protocol::answer(answer).as_bytes())
}

/// A command that is under way, until this is dropped.
struct Busy<'a>(&'a Clients);

impl<'a> Busy<'a> {
    fn begin(clients: &'a Clients) -> Self {
        clients.counts().busy += 1;
        Self(clients)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.counts().busy -= 1;
        self.0.answered.notify_all();
    }
}
