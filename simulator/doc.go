// Package simulator answers SNMP like thousands of real devices: one process
// serves every address of a range such as 127.0.0.0/16, or one address with a
// port per device, in SNMP v1, v2c and v3.
//
// It must not know anything of the rest of Pollux but package secret, must not
// keep state per device (an answer is a pure function of device, object and
// time, so that ten thousand devices cost no more memory than one), and must
// never answer for an address that it was not told to serve.
//
// # What a synthesised device is
//
// A switch with Config.Ports Ethernet ports, ifIndex 1 to Ports. It holds the system
// group (RFC 3418), ifNumber and ifTable columns 1-21, ifXTable columns 1-19
// (RFC 2863) and snmpEngine (RFC 3411). Device i answers at the i-th address
// after the range's network address: in 127.0.0.0/16 device 0 is 127.0.0.1. Its
// sysName is "sim-00000" with i in five digits. Everything is read-only.
//
// # The closed form of the counters
//
// Let all times be whole nanoseconds, e = the time since Config.Epoch (0 before
// it), n = device x Ports + port - 1, and d = 0 for an In column and 1 for an
// Out column. The octet rate of that port and direction, in octets per second, is
//
//	r = 1000 + ((2n + d) x 61803403 mod span)
//
// with span = 99,999,000, or 9,999,000 when Only32Bit is set. As 61803403 has no
// factor in common with span, no two ports share a rate below span/2 ports. Column rates
// per second, all whole numbers ("/" rounds down):
//
//	Octets         r
//	UcastPkts      r/500 + 1
//	MulticastPkts  r/20000 + 1
//	BroadcastPkts  r/50000 + 1
//	NUcastPkts     r/20000 + r/50000 + 2
//	Discards       r mod 3
//	Errors         r mod 2
//	UnknownProtos  r mod 2
//
// The weight W(e) is the integral of the pattern in eighths:
//
//	constant  W(e) = 8e
//	steps     W(e) = the integral from 0 to e of m[(p + floor(x/StepLength)) mod 8] dx
//
// with m = 4, 8, 2, 6, 3, 1, 5, 2 (each step at least 1.5 times or at most half
// of the one before, the first again after the last) and p = mix(n) mod 8. So
// the rate in a step is rate x m/8. The counter is
//
//	before RebootAt   base + floor(rate x W(e) / (8 x 10^9))              mod 2^64
//	from RebootAt on  floor(rate x (W(e) - W(eReboot)) / (8 x 10^9))
//
// with base = mix(n x 32 + column) mod 10^9, column as numbered by the Column
// constants; with Wrap set, base = 2^64 - floor(rate x W(30 s) / (8 x 10^9)), so
// that every counter of both widths wraps 30 s after Epoch. mix is the finaliser
// of SplitMix64. A Counter32 is the low 32 bits of the same value.
//
// sysUpTime is floor(e / 10 ms) mod 2^32 with e since Epoch, or since RebootAt
// once that has passed; snmpEngineTime is the same in seconds, snmpEngineBoots 1, then 2.
//
// With a latency the reply leaves late, and its values are those of the middle
// between the request's arrival and the reply's departure.
//
// # Recordings
//
// With Config.Recordings set, the community NAME (or the v3 context NAME) is
// answered on every served address from the file NAME.snmprec of that
// directory: lines OID|tag|value as snmpsim writes them. Lines that cannot be
// read are left out, and of two lines with one OID the later counts.
package simulator
