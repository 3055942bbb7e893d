package snmp

import "math"

const (
	// A reply that fits into one Ethernet frame is neither fragmented nor lost to a
	// firewall that drops fragments: 1500 - 20 (IPv4) - 8 (UDP).
	udpReply = 1472
	// Over TCP there are no fragments; below net-snmp's own buffers.
	tcpReply = 8192
	// About 70 variables of a usual interface table fill a datagram; short ones are not asked for without end.
	udpVariables = 90
	tcpVariables = 300
	// What a reply holds besides its variables, and what a variable usually takes.
	replyOverhead, usualVariable = 45, 21
	// What a value takes that GET asks for, before a reply has told.
	usualValue = 4

	maxColumns     = 24 // columns of a large table in one request
	leastColumns   = 3  // the same: what belongs together, such as octets and the name of a port, is read at one time
	unknownColumns = 10 // the same while the number of rows is not known
	nextColumns    = 20 // the same with GETNEXT, which brings one row of each
	firstRows      = 6  // rows of the first request while the number of rows is not known; doubled from there
)

// bulk is what a session has learned about the table requests its agent takes.
type bulk struct {
	limit     int     // variables in a reply: halved at each tooBig, never raised
	replySize int     // bytes of a reply: lowered to what a cut reply had
	largest   int     // bytes of the largest reply
	variable  float64 // bytes of one variable, of the last reply
	answered  bool    // a GETBULK has been answered
	failures  int     // GETBULKs that failed where GETNEXT did not
}

func newBulk(stream bool) bulk {
	if stream {
		return bulk{limit: tcpVariables, replySize: tcpReply, variable: usualVariable}
	}
	return bulk{limit: udpVariables, replySize: udpReply, variable: usualVariable}
}

// broken says that the agent is to be asked with GETNEXT: it never answered a
// GETBULK, or failed on two.
func (b *bulk) broken() bool { return b.failures > 1 || b.failures == 1 && !b.answered }

// variables is how many variables the next reply should have.
func (b *bulk) variables() int {
	return max(1, min(b.limit, int(float64(b.replySize-replyOverhead)/b.variable)))
}

// learn takes the size of a reply into account; cut says that the agent sent fewer variables than it could have.
func (b *bulk) learn(size, variables int, cut bool) {
	if variables == 0 {
		return
	}
	b.variable = math.Max(8, float64(size-replyOverhead)/float64(variables))
	b.largest = max(b.largest, size)
	if cut { // before a variable that was too long, which need not be the usual one: larger replies have fitted
		b.replySize = max(min(b.replySize, b.largest), 2*replyOverhead)
	}
}

// failed counts a GETBULK whose place GETNEXT has taken; the next one asks for less.
func (b *bulk) failed(asked int) {
	b.failures++
	if !b.broken() {
		b.halve(asked)
	}
}

// halve is the consequence of a request that was too big.
func (b *bulk) halve(asked int) { b.limit = max(1, min(b.limit, asked)/2) }

// batch says how many of the columns to read together, so that the table takes
// the fewest requests: a table that fits goes into one, a large one is cut into
// groups of columns of which each reply holds several rows.
func (b *bulk) batch(columns, expected int, next bool) int {
	if next {
		return split(columns, min(b.limit, nextColumns))
	}
	if expected <= 0 {
		return split(columns, unknownColumns)
	}
	size := b.variables()
	if columns*(expected+1) <= size {
		return columns
	}
	best, fewest := 1, math.MaxInt
	for n := min(columns, leastColumns); n <= min(columns, maxColumns); n++ {
		groups := ceil(columns, split(columns, n))
		if requests := groups * ceil(expected+1, max(1, size/split(columns, n))); requests < fewest {
			best, fewest = split(columns, n), requests
		}
	}
	return best
}

// split divides columns into groups of at most n, as even as can be, and returns the size of the largest.
func split(columns, n int) int { return ceil(columns, ceil(columns, n)) }

func ceil(a, b int) int { return (a + b - 1) / b }

// repetitions is how many rows to ask for in the next request of n columns.
// missing is the rows expected and one more, which shows the end of the column,
// so that no request is needed for that alone; they are spread evenly.
func (b *bulk) repetitions(n, missing, ramp, limit int) int {
	rows := max(1, b.variables()/n)
	if limit > 0 {
		rows = min(rows, limit)
	}
	if missing > 0 {
		return ceil(missing, ceil(missing, rows))
	}
	return min(rows, ramp)
}
