"""The linear variational auto-encoder, solved exactly and trained."""
