// Package poller turns the answers of one device into facts and measurements.
//
// One poll asks sysUpTime.0 first: whatever comes back says that the device is
// up. Then its modules run one after the other; each is timed, and one that
// fails or panics is recorded while the others go on. What a poll finds, "down"
// and "partial" included, is a Report and never an error.
//
// Everything a device says is untrusted: rows are bounded, texts are cut and
// cleaned, and a value of a wrong type counts as not read.
//
// The package must not do any input or output but through its Session: no
// database, no Redis, no RRD files, no log. Its times are those of the local
// clock; the caller corrects them.
package poller
