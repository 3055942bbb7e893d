package simulator

import "sort"

// tree is a sorted set of objects. OIDs are the contents of BER OBJECT IDENTIFIERs.
type tree interface {
	size() int
	oid(i int) []byte
	// wide says whether object i is a Counter64, which SNMPv1 does not know.
	wide(i int) bool
	// pastWide is an index after i, which is wide, before the next object that is not.
	pastWide(i int) int
	// sameType says whether oid begins with the name of object i's type.
	sameType(i int, oid []byte) bool
	// appendObject appends the VarBind of object i as it is at a moment.
	appendObject(dst []byte, i int, at *moment) []byte
}

// moment is whose objects are asked for and when.
type moment struct {
	device int
	source uint16 // UDP port that asks
	now    int64  // Unix ns
	truth  *truth
}

// seek returns the index of the first object whose OID is not before oid, and whether it is that OID.
func seek(t tree, oid []byte) (int, bool) {
	n := t.size()
	i := sort.Search(n, func(i int) bool { return compareOID(t.oid(i), oid) >= 0 })
	return i, i < n && string(t.oid(i)) == string(oid)
}

// after returns the index of the first object after oid, or t.size().
func after(t tree, oid []byte, version int64) int {
	i, exact := seek(t, oid)
	if exact {
		i++
	}
	return visible(t, i, version)
}

// visible returns the first index from i on that a version may see: SNMPv1
// steps over Counter64 (RFC 3584 section 4.2.2.1).
func visible(t tree, i int, version int64) int {
	for version == version1 && i < t.size() && t.wide(i) {
		i = t.pastWide(i)
	}
	return i
}

// missing is the exception for an OID that t lacks and that would stand at i
// (RFC 3416 section 4.2.1). Objects of one type lie next to each other, so the two neighbours tell.
func missing(t tree, i int, oid []byte) byte {
	if i < t.size() && t.sameType(i, oid) || i > 0 && t.sameType(i-1, oid) {
		return tagNoSuchInstance
	}
	return tagNoSuchObject
}
