"""The documentation as a site: pages assembled from the repository, built by Zensical, and every link followed.

`python -m docs.website` builds it (`pip install -c constraints.txt -e '.[docs]'`). The pictures of the gallery and of
the experiments are kept in docs/pictures; `python -m docs.website.gallery` and `python -m docs.website.experiments`
make them anew.
"""
