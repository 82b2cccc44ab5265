// Package near tells how far apart two words are, so that a mistyped one can be answered with what was meant. It knows no words and proposes none: that is for
// whoever knows them, who also bounds the length of what came from outside.
package near

// Distance is how many letters must be put in, taken out, changed, or swapped with their neighbour to make b of a: the optimal string alignment, in which no
// letter is touched twice. Its cost is the product of the lengths.
func Distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	older, old, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range old {
		old[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			change := 1
			if x[i] == y[j] {
				change = 0
			}
			row[j+1] = min(old[j]+change, old[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(y)]
}
