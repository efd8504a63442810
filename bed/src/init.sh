#!/bin/busybox sh
# The bed's first process: loads the modules, runs the job, tells what it came to, powers off.
# Streams lead to the host through virtio ports (ports.rs numbers them); the console is for trouble.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
# What the job writes is told from what was carried in by being newer.
touch /bed/start
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts

broken() {
    echo "init: $1"
    poweroff -f
}

for module in /bed/modules/*; do
    insmod "$module" || broken "$module can't be loaded"
done
# Ports come up a moment after their driver.
for port in 1 2 3 4 5; do
    tries=0
    until [ -c "/dev/vport0p$port" ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || broken "virtio port $port doesn't come up"
        usleep 20000
    done
done
[ -c /dev/kvm ] || broken "kvm-amd made no /dev/kvm"

# A port can be opened once at a time.
exec 9<>/dev/vport0p4
# Busybox compares seconds: what is written in the second of the start would not be newer.
while [ "$(date +%s)" = "$(date -r /bed/start +%s)" ]; do
    usleep 20000
done
echo ready >&9
sh /bed/job </dev/vport0p1 >/dev/vport0p2 2>/dev/vport0p3 9<&- &
job=$!
(
    while read -r signal; do
        kill -s "$signal" "$job"
    done
    # The port's other end is gone, and so is everybody who cares.
    poweroff -f
) <&9 &
wait "$job"
status=$?
if [ -s /bed/results ]; then
    cd "$(cat /bed/results)" && find . -xdev -type f -newer /bed/start | cpio -o -H newc >/dev/vport0p5 2>/dev/null
fi
echo "exit $status" >&9
poweroff -f
