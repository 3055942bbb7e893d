package billing

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// amountText are the amounts that people write: 500M, 1.5 Gbps, 10TB, 2 TiB.
var amountText = regexp.MustCompile(`^([0-9]{1,20}(?:\.[0-9]{1,9})?) ?([kKMGTPE]?)(i?)(bps|bit/s|B)?$`)

const prefixes = "kMGTPE"

// ParseAmount reads an allowance in the unit of a type: bit/s of a CDR, bytes
// of a quota. k, M, G, T, P and E are powers of base (1000 or 1024), Ki, Mi and
// so on of 1024. Errors: ErrBill for what is no such amount, is of the other unit, or is not whole.
func ParseAmount(text string, t Type, base int) (int64, error) {
	want, unit := "bit/s, such as 500M or 1.5Gbps", "bps"
	if t == Quota {
		want, unit = "bytes, such as 500G or 1.5TB", "B"
	}
	parts := amountText.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%w allowance %.40q: want %s", ErrBill, text, want)
	}
	if written := strings.Replace(parts[4], "bit/s", "bps", 1); written != "" && written != unit {
		return 0, fmt.Errorf("%w allowance %.40q: that of a %s is in %s", ErrBill, text, t, want)
	}
	if parts[3] != "" {
		base = 1024
	}
	if parts[3] != "" && parts[2] == "" {
		return 0, fmt.Errorf("%w allowance %.40q: want %s", ErrBill, text, want)
	}
	amount, _ := new(big.Rat).SetString(parts[1])
	power := 0
	if parts[2] != "" {
		power = 1 + strings.Index(prefixes, strings.Replace(parts[2], "K", "k", 1))
	}
	for range power {
		amount.Mul(amount, big.NewRat(int64(base), 1))
	}
	if !amount.IsInt() || !amount.Num().IsInt64() {
		return 0, fmt.Errorf("%w allowance %.40q: it is no whole number of %s, or too much", ErrBill, text, strings.SplitN(want, ",", 2)[0])
	}
	return amount.Num().Int64(), nil
}

// FormatAmount shows an amount in the unit of a type with up to three decimals, rounded down: "1.5 Gbit/s", or "1.5 GiB" for base 1024.
func FormatAmount(n uint64, t Type, base int) string {
	unit := "bit/s"
	if t == Quota {
		unit = "B"
	}
	divisor, prefix := uint64(1), ""
	for _, letter := range prefixes {
		if n/divisor < uint64(base) {
			break
		}
		divisor *= uint64(base)
		prefix = string(letter)
		if base == 1024 {
			prefix = strings.ToUpper(prefix) + "i"
		}
	}
	whole, rest := n/divisor, n%divisor
	text := strconv.FormatUint(whole, 10)
	if thousandths := scale(rest, 1000, divisor); thousandths > 0 {
		text += strings.TrimRight(fmt.Sprintf(".%03d", thousandths), "0")
	}
	return text + " " + prefix + unit
}
