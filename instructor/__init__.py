"""The instructor's side: right answers, and the mistakes that people make in them."""
