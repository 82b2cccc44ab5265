package filter

// scenario is a sender's life in testing time: the tests it shows firing, and those that come close and must not fire.
type scenario struct {
	name  string
	shows []string
	near  []string
}

var scenarios = []scenario{}
