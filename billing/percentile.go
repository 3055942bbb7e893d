package billing

import "slices"

// Method says how a 95th percentile is taken.
type Method string

// The methods, as the setting billing.percentile_method has them.
const (
	Nearest  Method = "nearest"  // nearest rank: the lowest value that 95 % of the time were not above
	LibreNMS Method = "librenms" // the index that LibreNMS takes, round(0.95 n) - 2, which is one lower; 0 where there is none
)

// rank is the index of the 95th percentile among n sorted values, -1 for none.
func (m Method) rank(n int) int {
	if m == LibreNMS {
		return max((95*n+50)/100-2, -1)
	}
	return (95*n+99)/100 - 1
}

// percentile95 changes the order of the values.
func percentile95(values []uint64, m Method) uint64 {
	k := m.rank(len(values))
	if k < 0 || k >= len(values) {
		return 0
	}
	return nth(values, k)
}

// nth is the k-th lowest value. It takes time in proportion to their number
// on average, where sorting, with 10,000 bills, would be most of the work.
func nth(values []uint64, k int) uint64 {
	low, high := 0, len(values)-1
	for rounds := 0; low < high; rounds++ {
		if rounds > 64 { // values in an order that was made to be slow
			slices.Sort(values[low : high+1])
			break
		}
		pivot := medianOf3(values[low], values[low+(high-low)/2], values[high])
		less, i, more := low, low, high // less than, equal to, more than the pivot
		for i <= more {
			switch v := values[i]; {
			case v < pivot:
				values[less], values[i] = v, values[less]
				less++
				i++
			case v > pivot:
				values[more], values[i] = v, values[more]
				more--
			default:
				i++
			}
		}
		switch {
		case k < less:
			high = less - 1
		case k > more:
			low = more + 1
		default:
			return pivot
		}
	}
	return values[k]
}

func medianOf3(a, b, c uint64) uint64 { return max(min(a, b), min(max(a, b), c)) }

// weighted95 is the nearest rank where slots are of different widths: the
// lowest rate that 95 % of the time were not above.
func weighted95(slots []Slot, value func(Slot) uint64) uint64 {
	sorted := slices.Clone(slots)
	slices.SortFunc(sorted, func(a, b Slot) int {
		switch x, y := value(a), value(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	var all, passed int64
	for _, s := range sorted {
		all += int64(s.Width)
	}
	for _, s := range sorted {
		if passed += int64(s.Width); 100*passed >= 95*all {
			return value(s)
		}
	}
	return 0
}
