package password

import "testing"

func BenchmarkVerify(b *testing.B) {
	h := NewHasher()
	for b.Loop() {
		h.verify("wrong", "")
	}
}
