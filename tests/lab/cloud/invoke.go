package cloud

// invoke answers a data source. It is called with the lock.
type invoke func(c *Cloud, s Settings, args object) (object, error)

func allInvokes() map[string]invoke {
	all := map[string]invoke{}
	for _, some := range []map[string]invoke{gcpInvokes(), awsInvokes(), azureInvokes()} {
		for token, f := range some {
			all[token] = f
		}
	}
	return all
}
