/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The console on COM1, and a printf of about a screen. */
#include <stdarg.h>

#include "rt.h"

#define COM1     0x3f8
#define COM1_FCR (COM1 + 2)
#define COM1_LSR (COM1 + 5)

#define FCR_ENABLE 0x01
#define LSR_THRE   0x20
#define FIFO_SIZE  16

/*
 * A port access costs 12 us on one of our hosts. THRE says that the whole FIFO is empty, so one poll is good for FIFO_SIZE
 * bytes, across calls.
 */
void print(const char *text, size_t length)
{
	static bool fifo_enabled;
	static size_t room;

	if (!fifo_enabled) {
		outb(COM1_FCR, FCR_ENABLE);
		fifo_enabled = true;
	}
	while (length) {
		if (!room) {
			while (!(inb(COM1_LSR) & LSR_THRE))
				pause();
			room = FIFO_SIZE;
		}
		size_t n = length < room ? length : room;
		room -= n;
		length -= n;
		while (n--)
			outb(COM1, (uint8_t)*text++);
	}
}

static void print_number(uint64_t value, unsigned base, bool negative)
{
	char digits[24];
	char *p = digits + sizeof digits;

	do {
		*--p = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	if (negative)
		*--p = '-';
	print(p, (size_t)(digits + sizeof digits - p));
}

static size_t length_until(const char *text, char stop)
{
	size_t n = 0;

	while (text[n] && text[n] != stop)
		n++;
	return n;
}

void printf(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	while (*format) {
		size_t n = length_until(format, '%');
		print(format, n);
		format += n;
		if (!*format++)
			break;

		bool wide = *format == 'l';
		format += wide;
		switch (*format++) {
		case 's': {
			const char *text = va_arg(args, const char *);
			print(text, length_until(text, '\0'));
			break;
		}
		case 'd': {
			long value = wide ? va_arg(args, long) : va_arg(args, int);
			print_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0);
			break;
		}
		case 'u':
			print_number(wide ? va_arg(args, unsigned long) : va_arg(args, unsigned), 10, false);
			break;
		case 'x':
			print_number(wide ? va_arg(args, unsigned long) : va_arg(args, unsigned), 16, false);
			break;
		default: /* %% */
			print(format - 1, 1);
		}
	}
	va_end(args);
}
