//! Tests of the faults' texts.

use super::*;

fn spec(text: &str) -> FaultSpec {
    text.parse().unwrap()
}

fn refusal(text: &str) -> String {
    text.parse::<FaultSpec>().unwrap_err().to_string()
}

#[test]
fn a_kind_alone_may_strike_anywhere_once() {
    for kind in FaultKind::ALL {
        let text = match kind {
            FaultKind::IrqSpurious => "irq-spurious:vector=0x40".into(),
            FaultKind::Exception => "exception:vector=0xd".into(),
            FaultKind::BitFlip => "bit-flip:address=0x1000".into(),
            FaultKind::MsrFail => "msr-fail:msr=0x1b".into(),
            FaultKind::MsrLie => "msr-lie:msr=0x1b,value=0x0".into(),
            FaultKind::TscOffset | FaultKind::TscJump | FaultKind::ClockJump => {
                format!("{}:by=-1ms", kind.name())
            }
            FaultKind::TscDrift => "tsc-drift:ppm=-500".into(),
            // It is of one vCPU.
            FaultKind::VcpuStart => continue,
            kind => kind.name().to_owned(),
        };
        let fault = spec(&text);
        let times =
            if kind.is_of_msr() || kind == FaultKind::DiskFull { FaultSpec::UNLIMITED } else { 1 };
        assert_eq!((fault.kind, fault.vcpu, fault.times), (kind, None, times));
        assert_eq!(fault.to_string(), text);
    }
}

#[test]
fn settings_come_back_as_they_were() {
    for text in [
        "ipi-drop:vcpu=1,to=2,vector=0x23,mode=fixed,nth=3,times=4",
        "ipi-delay:mode=init,for=2ms",
        "irq-drop:vcpu=0,vector=0xff,nth=1",
        "nmi:times=2",
        "nmi:vcpu=1,at=5ms,every=100us,p=0.5",
        "nmi:at=mark,every=1ms,times=10",
        "nmi:at=mark+2s",
        "nmi:vcpu=0,at=symbol:main+0x10,every=1ms,nth=3,times=2",
        "clock-jump:by=10s,at=1ms",
        "disk-full:disk=1,nth=7",
        "exception:vcpu=0,vector=0xe,address=0xffffffff80000000,error=0x2,at=1ms",
        "vcpu-start:vcpu=1,for=1s",
        "vcpu-stall:at=1ms,for=2s",
        "bit-flip:symbol=x+0x8,address=0x1008,bit=9,at=1ms",
        "bit-flip:physical=0x1000,every=1ms",
        "msr-fail:vcpu=1,op=read,msr=0x1b,nth=2,times=1",
        "msr-lie:msr=0xc0000080,value=0x500,p=0.5",
        "tsc-jump:vcpu=0,by=-1h,at=mark",
        "disk-error:disk=1,op=write,sector=8,p=0.01,times=3",
        "disk-delay:op=flush,for=2s",
        "disk-torn:nth=2",
    ] {
        assert_eq!(spec(text).to_string(), text);
    }
    assert_eq!(spec(" ipi-drop : 2 ").times, 2);
    assert_eq!(spec("ipi-drop:vector=35").vector, Some(35));
    assert_eq!(spec("ipi-delay:for=100us"), spec("ipi-delay"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, part) in [
        ("", "`` is no fault: there are ipi-drop, "),
        ("ipi", "`ipi` is no fault"),
        ("ipi-drop:for=1ms", "`ipi-drop` has no `for`; it has vcpu, to, vector, mode, nth, times"),
        ("ipi-drop:vcpu", "`vcpu`: write KEY=VALUE"),
        ("ipi-drop:1,times=2", "`times` is given twice"),
        ("ipi-drop:times=0", "times=0: give a number from 1 to 1000"),
        ("ipi-drop:vcpu=64", "vcpu=64: give the number of a vCPU"),
        ("ipi-drop:vector=15", "vector=15: give a number from 16 to 255"),
        ("ipi-drop:vector=0x100", "vector=0x100: "),
        ("ipi-drop:mode=smi", "mode=smi: give fixed, nmi, init or sipi"),
        ("ipi-drop:mode=sipi,vector=32", "only an IPI of mode fixed has a vector"),
        ("ipi-drop:nth=0", "nth=0: give a number from 1"),
        ("exception", "which exception?"),
        ("exception:vector=2", "vector 2 is the fault `nmi`"),
        ("exception:vector=32", "from 0 to 31"),
        ("vcpu-start", "which vCPU?"),
        ("vcpu-start:vcpu=0", "vCPU 0 boots the machine"),
        ("bit-flip:bit=1", "where?"),
        ("bit-flip:physical=1,symbol=x", "`physical` and another place"),
        ("bit-flip:address=0x1g", "address=0x1g: this is no number"),
        ("bit-flip:address=1,bit=512", "bit=512: give a number from 0 to 511"),
        ("msr-fail", "which register?"),
        ("msr-fail:msr=0x100000000", "no number, or too large"),
        ("msr-lie:msr=1", "what does it return?"),
        ("msr-fail:msr=1,op=flush", "give read or write"),
        ("tsc-jump", "by how much?"),
        ("tsc-jump:by=0s", "by=0s: give a time such as 5ms or -5ms"),
        ("tsc-drift:ppm=0", "ppm=0: give millionths"),
        ("nmi:at=tomorrow", "at=tomorrow: give a time such as 5ms"),
        ("nmi:at=symbol:", "at=symbol:: give a time"),
        ("nmi:at=1ms,nth=2", "`nth` needs at=symbol:NAME"),
        ("nmi:every=9us", "every=9us: times go from 10us"),
        ("ipi-delay:for=5", "this is not a time"),
        ("ipi-delay:for=2min", "times go from 1us to 60s"),
        ("irq-spurious", "Give its vector"),
        ("disk-error:p=0", "p=0: give a probability"),
        ("disk-error:p=1.5", "p=1.5: give a probability"),
        ("disk-error:op=trim", "op=trim: give read, write or flush"),
        ("disk-error:vcpu=1", "`disk-error` has no `vcpu`; it has disk, op, sector, p, nth, times"),
        ("disk-error:disk=99", "disk=99: give the number of a disk"),
        ("disk-error:sector=x", "sector=x: give a number"),
        ("disk-lost:op=read", "a read can't be lost"),
        ("nmi:sector=1", "`nmi` has no `sector`"),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(part), "{text}: {refusal}");
        assert!(refusal.starts_with("--fault "), "{refusal}");
    }
}

#[test]
fn it_strikes_what_its_settings_name() {
    let fixed = IpiMode::Fixed { vector: 0x40 };
    let startup = IpiMode::Startup { vector: 8 };
    assert_eq!(spec("ipi-drop").targets(0, fixed, 0b110), 0b110);
    assert_eq!(spec("ipi-drop").targets(0, IpiMode::InitDeassert, 0b110), 0);
    assert_eq!(spec("ipi-drop:to=2").targets(0, fixed, 0b110), 0b100);
    assert_eq!(spec("ipi-drop:vcpu=1").targets(0, fixed, 0b110), 0);
    assert_eq!(spec("ipi-drop:vector=0x41").targets(0, fixed, 0b110), 0);
    assert_eq!(spec("ipi-drop:vector=16").targets(0, startup, 0b10), 0);
    assert_eq!(spec("ipi-drop:mode=sipi").targets(0, startup, 0b10), 0b10);
    assert_eq!(spec("ipi-drop:mode=sipi").targets(0, fixed, 0b10), 0);
    assert!(spec("irq-drop").covers(3, 0x40));
    assert!(!spec("irq-drop:vcpu=1,vector=0x40").covers(3, 0x40));
}

#[test]
fn a_strike_is_told_in_words() {
    let strike = |event| Strike { number: 1, point: 5, vcpu: 0, rip: 0, event }.to_string();
    let ipi = |kind, mode| Struck::Ipi { kind, mode, targets: 0b110, instead: 0b1000 };
    let fixed = IpiMode::Fixed { vector: 0x40 };
    assert_eq!(
        strike(ipi(FaultKind::IpiDrop, fixed)),
        "the IPI with vector 0x40 from vCPU 0 to vCPUs 1, 2 was lost"
    );
    assert_eq!(
        strike(ipi(FaultKind::IpiMisroute, IpiMode::Nmi)),
        "the NMI from vCPU 0 to vCPUs 1, 2 went to vCPU 3"
    );
    assert_eq!(strike(Struck::LostInterrupt(0x20)), "vCPU 0's interrupt with vector 0x20 was lost");
}

#[test]
fn a_symbol_s_address_is_found_once() {
    let mut fault = spec("bit-flip:symbol=x,bit=1");
    assert_eq!(fault.resolve(|_| Err("none")), Err("none"));
    fault.resolve(|name| if name == "x" { Ok(0x1234) } else { Err("another") }).unwrap();
    assert_eq!(fault.to_string(), "bit-flip:symbol=x,address=0x1234,bit=1");
    assert_eq!(spec(&fault.to_string()), fault);
    assert_eq!(fault.resolve(|_| Err("it is known")), Ok(()));
    let mut fault = spec("nmi:at=symbol:x");
    fault.resolve(|name| if name == "x" { Ok(0x1234) } else { Err("another") }).unwrap();
    assert_eq!((fault.at_address, fault.address), (Some(0x1234), None));
}
