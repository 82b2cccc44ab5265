package dns

// Forget drops what is cached about names, of every type, so that the next question asks the servers again. It is for names whose owner has just shown
// that he changed them: a stranger who could call it at will would make the cache useless. Answers that are on their way are not called back.
func (c *Client) Forget(names ...string) {
	if c.cache == nil {
		return
	}
	for _, name := range names {
		if name, ok := normal(name); ok {
			c.cache.forget(name)
		}
	}
}

// forget drops the answers about a name.
func (c *cache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range cachedTypes {
		if e, ok := c.entries[key{name, t}]; ok {
			c.drop(e)
		}
	}
}

// cachedTypes are all types that are asked for.
var cachedTypes = [...]Type{TypeA, TypeNS, TypeCNAME, TypeSOA, TypePTR, TypeMX, TypeTXT, TypeAAAA, TypeDS, TypeTLSA, TypeSPF, TypeCAA}
