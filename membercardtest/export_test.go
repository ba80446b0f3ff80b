package membercardtest

// State returns everything the server stores, in clear.
func (s *Server) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(encode(s.cards)) + string(encode(s.userCards))
}

// SignedMessage is what the fake expects to be signed.
func SignedMessage(method, uri, timestamp, nonce, body string) string {
	return signedMessage(method, uri, timestamp, nonce, body)
}
