#!/bin/busybox sh
# The bed's first process: loads the modules, runs the job, tells what it came to, powers off.
# /bed/streams connects the job with the host; the console is for trouble.
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
    # A serial port goes on sending for a moment.
    sleep 1
    poweroff -f
}

for module in /bed/modules/*; do
    options=
    case $module in
    *-kvm_*) options=$(cat /bed/module-options) ;;
    esac
    # shellcheck disable=SC2086 # several options are several words
    insmod "$module" $options || broken "$module can't be loaded"
done
# Sets $input, $output, $errors and $results, and opens 9, on which the host hears of the job.
. /bed/streams
[ -c /dev/kvm ] || broken "KVM made no /dev/kvm"

# Busybox compares seconds: what is written in the second of the start would not be newer.
while [ "$(date +%s)" = "$(date -r /bed/start +%s)" ]; do
    usleep 20000
done
echo ready >&9
sh /bed/job <"$input" >"$output" 2>"$errors" 9<&- &
job=$!
listen "$job"
wait "$job"
status=$?
drain
if [ -s /bed/results ]; then
    cd "$(cat /bed/results)" && find . -xdev -type f -newer /bed/start | cpio -o -H newc >"$results" 2>/dev/null
fi
echo "exit $status" >&9
finish
poweroff -f
