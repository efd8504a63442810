//! Calls all look-ups of symbols: for the tests of robustness and the fuzz targets (`fuzz/`).

use inspect::{Stack, Symbols};

/// Looks up names and addresses, one of them `address`.
pub(crate) fn everything(symbols: &Symbols, address: u64) {
    let addresses = [0, u64::MAX, 0xffff_ffff_fb80_0000, address, address >> 32];
    for address in addresses {
        symbols.function(address);
        symbols.data(address);
        symbols.line(address);
    }
    assert!(!Stack::new(&addresses, Some(symbols)).to_string().is_empty());
    symbols.address("main");
    symbols.nearest("mian");
}
