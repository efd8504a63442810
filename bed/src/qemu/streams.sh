# Streams lead to the host through virtio ports (ports.rs numbers them).
input=/dev/vport0p1 output=/dev/vport0p2 errors=/dev/vport0p3 results=/dev/vport0p5
# Ports come up a moment after their driver.
for port in 1 2 3 4 5; do
    tries=0
    until [ -c "/dev/vport0p$port" ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || broken "virtio port $port doesn't come up"
        usleep 20000
    done
done
# A port can be opened once at a time.
exec 9<>/dev/vport0p4

# Passes signals from the host on to the job.
listen() {
    (
        while read -r signal; do
            kill -s "$signal" "$1"
        done
        # The port's other end is gone: no process on the host waits for this machine.
        poweroff -f
    ) <&9 &
}

drain() { :; }
finish() { :; }
