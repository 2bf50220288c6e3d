"""Operators' passwords (argon2)."""

from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password

from ..core.database import in_database
from .viewer import HASHES

check_password = in_database(authenticate, HASHES)
"""Return the user with these credentials. An unknown name takes as long as a wrong password."""

hash_password = make_password
