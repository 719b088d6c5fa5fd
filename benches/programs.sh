# Sourced by the scripts beside it, with $tools a folder of theirs: builds nstool as usual and as a static program, and puts
# both there. By copying, as an installation does: the linker writes its output page by page, and the kernel then maps it
# in smaller pieces than it does the programs beside it, which costs a tenth of a short run.
cargo build --release --quiet
install -m 755 "${CARGO_TARGET_DIR:-target}/release/nstool" "$tools/nstool"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --target "$host" --quiet
install -m 755 "${CARGO_TARGET_DIR:-target}/$host/release/nstool" "$tools/nstool-static"
cc -O2 -o "$tools/pair" benches/pair.c

# Runs nstool, in both builds, beside another program, in turn. usage: beside NAME ARGUMENTS OTHER-COMMAND
beside() {
    echo "== $1"
    "$tools/pair" "$rounds" "$tools/nstool $2" "$3"
    "$tools/pair" "$rounds" "$tools/nstool-static $2" "$3"
}
