/* Labels without types and sizes, as hand-written code has them. */
	.text
	.globl	mp_start
mp_start:
	mov	$1, %edi
	call	mp_start_cpu_common
mp_idle:
	hlt
	jmp	mp_idle
	.data
counter:
	.quad	5
	.section .note.GNU-stack,"",@progbits
