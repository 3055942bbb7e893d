// Package definitions says what an operating system is recognised by, and which
// of its tables hold processors, memory, storage and sensors.
//
// A definition is a YAML file: one per operating system, and one per MIB whose
// tables several of them share. Those of Pollux are embedded; a directory of the
// user's adds to them and replaces those of the same name. A file that is wrong
// is left out with its line and the reason, and the others still load.
//
// The package must not read from a device: it says what to ask for and what an
// answer means. Everything in an answer is untrusted.
package definitions
