# Streams lead to the host through serial ports (ports.rs numbers them), one way only.
for port in 0 1 2 3; do
    stty -F /dev/ttyS$port 115200 raw -echo clocal || broken "serial port $port doesn't work"
done
# The job writes into pipes: a program takes a serial port for a terminal.
mkfifo /bed/output /bed/errors
input=/bed/input output=/bed/output errors=/bed/errors results=/dev/ttyS3
cat /bed/output >/dev/ttyS1 &
first=$!
cat /bed/errors >/dev/ttyS2 &
second=$!
exec 9>/dev/ttyS3

# No signal can come in.
listen() { :; }

# Waits until all output has gone out.
drain() { wait $first $second; }

# Closing a port sends what it still holds; the last bytes are then in the port itself.
finish() {
    exec 9>&-
    sleep 1
}
