"""The contract in machine form, printed from the code by `scripts/contract_pages.py`."""
