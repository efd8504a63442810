//! What each vCPU does, in words.

use experiments::timeline::{Position, Timeline, TimelineError};
use experiments::waits::Names;
use vmm::controlled::About;
use vmm::exit::{Exit, little};

/// What the vCPUs do at the position.
pub(super) fn states(timeline: &mut Timeline, names: &Names) -> Result<Vec<String>, TimelineError> {
    let runs = match timeline.position() {
        Position::At { .. } => Some(timeline.vcpu()),
        Position::End => None,
    };
    let mut states = Vec::new();
    for vcpu in 0..timeline.vcpus() {
        let about = timeline.standing(vcpu)?.about;
        states.push(format!("vCPU {vcpu}: {}", state(&about, runs == Some(vcpu), names)));
    }
    Ok(states)
}

fn state(about: &About, runs: bool, names: &Names) -> String {
    match about {
        About::Run if runs => "running".into(),
        About::Run => "ready".into(),
        About::Access(exit) if runs => format!("running, before its {}", access(exit, names)),
        About::Access(exit) => format!("ready, before its {}", access(exit, names)),
        About::Wait(exit) => format!("waiting: {} again and again", access(exit, names)),
        About::Spin => "waiting: it repeats itself".into(),
        About::Loop => "in an endless loop".into(),
        About::Sleep => "halted".into(),
        About::Start => "not started".into(),
    }
}

fn access(exit: &Exit, names: &Names) -> String {
    match exit {
        Exit::MmioRead { address, .. } => format!("load from {}", names.variable(*address)),
        Exit::MmioWrite { address, data } => {
            format!("store of {:#x} to {}", little(data), names.variable(*address))
        }
        Exit::PortRead { port, .. } => format!("read of port {port:#x}"),
        Exit::PortWrite { port, .. } => format!("write to port {port:#x}"),
        exit => exit.name().to_string(),
    }
}
