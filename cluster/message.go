package cluster

import (
	"encoding/binary"
	"unicode/utf8"
)

// Field numbers and wire types of asynq.TaskMessage (internal/proto/asynq.proto
// of asynq v0.26.0); wire types as the protocol buffers encoding defines them.
const (
	headersField = 15
	lastField    = 1<<29 - 1

	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// decodable says whether asynq's recoverer can decode a stored task. The
// fields that asynq declares as string must be UTF-8, as its decoder demands.
// Groups (wire types 3 and 4) are refused: asynq's schema has none.
func decodable(message []byte) bool {
	return fields(message, func(number uint64, value []byte) bool {
		switch number {
		case 1, 3, 4, 7, 10, 14: // type, id, queue, error_msg, unique_key, group_key
			return utf8.Valid(value)
		case headersField: // map<string, string>
			return fields(value, func(part uint64, text []byte) bool { // 1 is the key, 2 the value
				return part > 2 || utf8.Valid(text)
			})
		}
		return true
	})
}

// fields walks an encoded message and shows each field of bytes to accept.
func fields(message []byte, accept func(number uint64, value []byte) bool) bool {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag>>3 == 0 || tag>>3 > lastField {
			return false
		}
		message = message[n:]
		var size uint64
		switch tag & 7 {
		case wireVarint:
			if _, n = binary.Uvarint(message); n <= 0 {
				return false
			}
			size = uint64(n)
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		case wireBytes:
			length, n := binary.Uvarint(message)
			if n <= 0 || length > uint64(len(message)-n) {
				return false
			}
			message = message[n:]
			if !accept(tag>>3, message[:length]) {
				return false
			}
			size = length
		default:
			return false
		}
		if size > uint64(len(message)) {
			return false
		}
		message = message[size:]
	}
	return true
}
