import pytest
from hypothesis import given
from hypothesis import strategies as st

from eagleeye.report.units import interval, level, milliseconds, nats, percent, points, quantity, times

SIZES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (999.6, "1.00 k"),
        (1000, "1.00 k"),
        (40_813_184, "40.8 M"),
        (269_722, "270 k"),
        (4_089_184_256, "4.09 G"),
        (12.5, "12.5"),
        (9.999, "10.0"),
    ],
)
def test_quantities_have_three_digits_and_a_decimal_prefix(value, text):
    assert quantity(value).replace("\N{NO-BREAK SPACE}", " ") == text


@given(st.floats(0.01, 9e11))
def test_a_quantity_read_back_is_within_half_a_percent(value):
    number, _, prefix = quantity(value).partition("\N{NO-BREAK SPACE}")
    assert float(number) * SIZES[prefix] == pytest.approx(value, rel=0.00501)


def test_a_unit_stays_on_the_line_of_its_number():
    assert percent(0.88081) == "88.08\N{NO-BREAK SPACE}%"
    assert points(-0.0113) == "\N{MINUS SIGN}1.13\N{NO-BREAK SPACE}points"
    assert points(0.002) == "+0.20\N{NO-BREAK SPACE}points"
    assert milliseconds(1.8349) == "1.83\N{NO-BREAK SPACE}ms"
    assert milliseconds(120) == "120\N{NO-BREAK SPACE}ms"


def test_nothing_is_less_than_nothing():
    assert interval(-1e-17, -0.004, 1.336) == "0.00 [0.00, 1.34]"
    assert interval(-0.25, -0.5, 0.1) == "\N{MINUS SIGN}0.25 [\N{MINUS SIGN}0.50, 0.10]"


def test_levels_have_the_digits_they_need():
    assert level(0.95) == "95\N{NO-BREAK SPACE}%"
    assert level(0.995) == "99.5\N{NO-BREAK SPACE}%"


def test_losses_and_ratios_have_a_fixed_number_of_digits():
    assert nats(0.40119) == "0.4012"
    assert times(1.599) == "1.60\N{MULTIPLICATION SIGN}"
