"""Raw clips and labels → a cache of features, for any trainer."""

from preprocessing.unknown_user import name_unknown_user

name_unknown_user()  # before anything is imported that asks who runs this
