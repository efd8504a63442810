//! The claim: whatever connects to `--gdb`, the program answers, and ends with a reason. A small
//! client of gdb's protocol stands for gdb, which not every host has.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Running, jitterbug};
use crate::scratch::Folder;

tests! {
    Kvm: a_whole_session, what_is_no_protocol, clients_that_go, a_second_client, places_in_use,
        signals_end_it, what_gdb_cant_have;
}

/// A finding's file.
fn finding(folder: &Folder) -> String {
    let hunt = jitterbug("hunt tsc-sync --json --out").arg(&**folder).within(120);
    let hunt = hunt.ends_with(1).json();
    hunt["findings"][0]["file"].as_str().expect("a finding").to_owned()
}

/// A replay that waits for gdb at a socket.
fn waits(folder: &Folder) -> Running {
    let replay = jitterbug("replay").arg(finding(folder)).arg("--gdb").arg(folder.join("socket"));
    let replay = replay.within(120).start();
    replay.reports("waiting for gdb");
    replay
}

pub(crate) struct Client(UnixStream);

impl Client {
    pub(crate) fn new(folder: &Folder) -> Self {
        let stream = UnixStream::connect(folder.join("socket")).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(100))).expect("a timeout");
        Self(stream)
    }

    pub(crate) fn send(&mut self, text: &str) {
        let sum = text.bytes().fold(0u8, u8::wrapping_add);
        write!(self.0, "${text}#{sum:02x}").expect("the socket takes it");
    }

    /// Sends what may be no packet.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the socket takes it");
    }

    /// Sends Ctrl-C.
    pub(crate) fn interrupt(&mut self) {
        self.write(b"\x03");
    }

    /// The next packet.
    pub(crate) fn answer(&mut self) -> String {
        let mut byte = [0];
        let mut text = String::new();
        while text.is_empty() || !text.contains('#') {
            self.0.read_exact(&mut byte).expect("an answer");
            if byte[0] == b'$' || !text.is_empty() {
                text.push(byte[0].into());
            }
        }
        self.0.read_exact(&mut [0; 2]).expect("a sum");
        // After `D` it is not read.
        let _ = self.0.write_all(b"+");
        expanded(text.trim_matches(['$', '#']))
    }

    /// What a `monitor` command prints.
    pub(crate) fn monitor(&mut self, command: &str) -> String {
        let coded = |text, byte| format!("{text}{byte:02x}");
        self.send(&command.bytes().fold("qRcmd,".to_owned(), coded));
        let mut text = Vec::new();
        loop {
            let answer = self.answer();
            let Some(part) = answer.strip_prefix('O').filter(|_| answer != "OK") else {
                assert_eq!(answer, "OK");
                return String::from_utf8(text).expect("a text");
            };
            let byte = |at: usize| u8::from_str_radix(&part[at..at + 2], 16).expect("a byte");
            text.extend((0..part.len()).step_by(2).map(byte));
        }
    }

    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.answer()
    }
}

fn a_whole_session() {
    let folder = Folder::new();
    let replay = waits(&folder);
    let mut client = Client::new(&folder);
    assert!(client.ask("qSupported:multiprocess+;swbreak+").contains("ReverseContinue+"));
    assert!(client.ask("?").starts_with("T05thread:"));
    let image = guests::find("tsc-sync").expect("a guest").image;
    let symbols = inspect::Symbols::from_elf("tsc-sync", image).expect("symbols");
    let at = symbols.address("get_hwenv").expect("a function");
    let variable = symbols.address("platform_type").expect("a variable");
    assert_eq!(client.ask(&format!("Z0,{at:x},1")), "OK");
    assert!(client.ask("vCont;c").contains("swbreak"));
    let here = client.ask("g");
    assert!(here.to_lowercase().contains(&hex(at)), "{here}");
    // A step and a step back.
    client.ask("Hc1");
    assert!(client.ask("vCont;s:1;c").starts_with("T05"));
    assert_ne!(client.ask("g"), here);
    client.ask("bs");
    assert_eq!(client.ask("g"), here);
    assert_eq!(client.ask(&format!("z0,{at:x},1")), "OK");
    // The store before the hang, from behind.
    assert_eq!(client.ask(&format!("Z2,{variable:x},4")), "OK");
    let mut stop = client.ask("vCont;c");
    while !stop.contains("replaylog:end") {
        assert!(stop.contains("watch:"), "{stop}");
        stop = client.ask("vCont;c");
    }
    assert!(client.ask("bc").contains("watch:"));
    assert_eq!(client.ask(&format!("M{variable:x},4:01000000")), "E01");
    assert_eq!(client.ask("m123456789abcdef0,8"), "E0e");
    assert_eq!(client.ask("D"), "OK");
    replay.ends_with(0).says(&["reproduced: proven hang"]);
    assert!(!folder.join("socket").exists());
}

/// An address as it is in a register: its bytes in hex, the lowest first.
/// The contents of a packet whose runs of a character are compressed: `0*"` stands for `00000`,
/// because the character behind `*` is the number of repetitions plus 29.
fn expanded(text: &str) -> String {
    let mut whole = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match whole.chars().last().filter(|_| next == '*') {
            Some(last) => {
                let repetitions = u32::from(rest.next().expect("a number")) - 29;
                whole.extend((0..repetitions).map(|_| last));
            }
            None => whole.push(next),
        }
    }
    whole
}

/// The thread that a stop is about.
pub(crate) fn thread(stop: &str) -> u32 {
    let (_, behind) = stop.split_once("thread:").unwrap_or_else(|| panic!("no thread: {stop}"));
    let number = behind.split(';').next().expect("a part").rsplit('.').next().expect("a part");
    u32::from_str_radix(number, 16).expect("a number")
}

pub(crate) fn hex(address: u64) -> String {
    let hex = |text, byte| format!("{text}{byte:02x}");
    address.to_le_bytes().into_iter().fold(String::new(), hex)
}

fn what_is_no_protocol() {
    let folder = Folder::new();
    let nonsense = ["GET / HTTP/1.1\r\n\r\n", "$mffffffffffffffff,20#5b", "$m0,ffffff#2d"];
    for text in nonsense {
        let replay = waits(&folder);
        let mut client = Client::new(&folder);
        client.0.write_all(text.as_bytes()).expect("the socket takes it");
        replay.ends_with(2).says(&["--gdb: the client doesn't speak gdb's protocol"]);
    }
    let replay = waits(&folder);
    let mut client = Client::new(&folder);
    // It is ended by a signal if it doesn't take offence.
    let noise = (0..20_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8);
    let _ = client.0.write_all(&noise.collect::<Vec<_>>());
    drop(client);
    replay.ends_with_any(&[2, 4]);
    // A packet that came garbled has to be sent again.
    let replay = waits(&folder);
    let mut client = Client::new(&folder);
    client.0.write_all(b"$?#00").expect("the socket takes it");
    let mut answer = [0];
    client.0.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, *b"-");
    assert!(client.ask("?").starts_with("T05"));
    assert_eq!(client.ask("D"), "OK");
    replay.ends_with(0);
    // What it doesn't know has an empty answer; a thread that there is not gets none.
    let replay = waits(&folder);
    let mut client = Client::new(&folder);
    assert_eq!(client.ask("vUnheardOf"), "");
    assert!(client.ask("T63").starts_with('E'));
    client.send("k");
    replay.ends_with(130).says(&["gdb has killed the replay"]);
}

fn clients_that_go() {
    let folder = Folder::new();
    for text in ["", "+$", "$?#3f", "$vCont;c#a8"] {
        let replay = waits(&folder);
        let mut client = Client::new(&folder);
        client.0.write_all(text.as_bytes()).expect("the socket takes it");
        drop(client);
        replay.ends_with(4).says(&["gone without `detach`: the replay was not made"]);
    }
}

fn a_second_client() {
    let folder = Folder::new();
    let replay = waits(&folder);
    let mut client = Client::new(&folder);
    assert!(client.ask("?").starts_with("T05"));
    UnixStream::connect(folder.join("socket")).expect_err("nobody waits any more");
    assert_eq!(client.ask("D"), "OK");
    replay.ends_with(0);
}

fn places_in_use() {
    let folder = Folder::new();
    let finding = finding(&folder);
    let first = jitterbug("replay --gdb 0").arg(&finding).within(120).start();
    first.reports("waiting for gdb");
    let port = std::sync::Mutex::new(String::new());
    first.reports_that("the port", |text| {
        let name = text.split_once("127.0.0.1:").map(|(_, rest)| rest.trim().to_owned());
        *port.lock().expect("one thread") = name.clone().unwrap_or_default();
        name.is_some()
    });
    let port = port.into_inner().expect("one thread");
    let second = jitterbug(&format!("replay --gdb :{port}")).arg(&finding).ends_with(2);
    second.says(&[&format!("--gdb {port}: another program uses this port")]);
    match TcpStream::connect(format!("127.0.0.1:{port}")) {
        Ok(client) => {
            drop(client);
            first.ends_with(4);
        }
        // The test bed has no loopback interface.
        Err(error) if error.kind() == ErrorKind::NetworkUnreachable => {
            first.signal(Signal::SIGINT);
            first.ends_with(130);
        }
        Err(error) => panic!("{error}"),
    }
    let file = folder.file("file", "");
    let taken = jitterbug("replay --gdb").arg(&file).arg(&finding).ends_with(2);
    taken.says(&["it exists and is no socket: give another name"]);
    assert!(file.exists());
    let nowhere = jitterbug("replay --gdb /nowhere/socket").arg(&finding).ends_with(2);
    nowhere.says(&["--gdb /nowhere/socket: the socket can't be made", "No such file"]);
    let long = folder.join("x".repeat(200));
    let long = jitterbug("replay --gdb").arg(long).arg(&finding).ends_with(2);
    long.says(&["--gdb /", "the path of a socket has at most 107: give a shorter one"]);
}

fn signals_end_it() {
    let folder = Folder::new();
    let replay = waits(&folder);
    replay.signal(Signal::SIGINT);
    replay.ends_with(130).says(&["interrupted"]);
    let replay = waits(&folder);
    let mut client = Client::new(&folder);
    assert!(client.ask("?").starts_with("T05"));
    replay.signal(Signal::SIGTERM);
    replay.ends_with(143).says(&["interrupted"]);
}

fn what_gdb_cant_have() {
    let folder = Folder::new();
    let finding = finding(&folder);
    for wrong in ["99999", "example.org:1234", "22x", ":x"] {
        let usage = jitterbug("replay --gdb").arg(wrong).arg(&finding).ends_with(2);
        usage.says(&["--gdb"]);
    }
    for with in ["--repeat 2", "--trace x.json", "--timestamps"] {
        jitterbug(&format!("replay --gdb 0 {with}")).arg(&finding).ends_with(2).says(&["--gdb"]);
    }
    let other = jitterbug("replay --gdb 0 --guest tsc-sync-fixed").arg(&finding).ends_with(2);
    other.says(&["--gdb: tsc-sync-fixed: not the image that the finding is about"]);
    jitterbug("replay --bed --gdb 0").arg(&finding).ends_with(2).says(&["--gdb: not with --bed"]);
}
