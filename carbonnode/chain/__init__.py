"""What travels and what is kept: encodings, transactions, headers, certificates, trees and proofs. Pure."""
