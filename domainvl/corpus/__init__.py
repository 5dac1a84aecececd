"""Interleaved corpora: documents extracted, filtered, deduplicated, scored, degraded and audited (OmniCorpus)."""
